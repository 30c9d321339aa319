"""The plan: drawn from (seed, epoch) alone, and dropped units by the documented hash."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from lenet.data.plan import dropout_keep, learning_rates
from tests.plans import plan_of

SIZE = (17, 20)
STRENGTHS = {"image_size": SIZE, "max_rotation": 20.0, "max_scale": 0.2, "max_colour": 0.3, "cutout_size": 0.3}
MANY = np.arange(20_000)
INDICES = np.arange(100, 230)  # not from 0, so that a test fails if positions and images are confused


def plan(**changes):
    wanted = {"seed": 3, "epoch": 1, "epochs": 4, "batch_size": 32, "learning_rate": 0.1}
    indices = changes.pop("indices", INDICES)
    return plan_of(indices, **(wanted | changes))


def test_order_shows_every_image_once():
    order = plan().order
    assert order.dtype == np.int64
    assert sorted(order) == list(INDICES)
    assert list(order) != list(INDICES)


def test_same_seed_and_epoch_give_the_same_plan():
    one, other = (plan(flips="random", max_shift=3, **STRENGTHS) for _ in range(2))
    for name in ("order", "flips", "shifts", "warps", "colours", "boxes", "steps", "learning_rates"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert one.dropout_key == other.dropout_key


@pytest.mark.parametrize("changes", [{"seed": 4}, {"epoch": 2}, {"seed": 1, "epoch": 3}])
def test_another_seed_or_epoch_gives_another_plan(changes):
    one, other = plan(flips="random", max_shift=3), plan(flips="random", max_shift=3, **changes)
    for name in ("order", "flips", "shifts"):
        assert not np.array_equal(getattr(one, name), getattr(other, name))
    strong, others = plan(**STRENGTHS), plan(**STRENGTHS, **changes)
    for name in ("warps", "colours", "boxes"):
        assert not np.array_equal(getattr(strong, name), getattr(others, name))
    assert one.dropout_key != other.dropout_key


def test_flips_shifts_and_batch_size_do_not_change_the_rest_of_the_plan():
    bare, both = plan(), plan(flips="random", max_shift=2)
    assert np.array_equal(bare.order, both.order)
    assert np.array_equal(plan(flips="random").flips, both.flips)
    assert np.array_equal(plan(max_shift=2).shifts, both.shifts)
    assert np.array_equal(plan(batch_size=7, learning_rate=1, schedule="cosine", epochs=9).order, bare.order)
    assert bare.dropout_key == both.dropout_key == plan(batch_size=7).dropout_key


def test_other_augmentations_do_not_change_the_rest_of_the_plan():
    plain, strong = (
        plan(flips="random", max_shift=3),
        plan(flips="random", max_shift=3, max_colour=0.3, cutout_size=0.5),
    )
    for name in ("order", "flips", "shifts"):
        assert np.array_equal(getattr(plain, name), getattr(strong, name))
    assert plain.dropout_key == strong.dropout_key
    both = plan(**STRENGTHS)
    assert np.array_equal(both.boxes, plan(image_size=SIZE, cutout_size=STRENGTHS["cutout_size"]).boxes)
    assert np.array_equal(both.colours, plan(max_colour=STRENGTHS["max_colour"]).colours)
    alone = plan(image_size=SIZE, max_rotation=STRENGTHS["max_rotation"])
    assert np.allclose(angles(both.warps), angles(alone.warps), atol=1e-3)


def test_nothing_is_augmented_by_default():
    assert not plan().flips.any()
    assert not plan().shifts.any()
    assert plan().warps is plan().colours is plan().boxes is None


def angles(warps):
    """In degrees, of warps without flips."""
    return np.rad2deg(np.arctan2(warps[:, 0, 1], warps[:, 0, 0]))


def sizes(warps):
    return 2**16 / np.hypot(warps[:, 0, 0].astype(float), warps[:, 0, 1])


def assert_uniform(values, low, high):
    assert low - 1e-3 < values.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < values.max() < high + 1e-3
    counts, _ = np.histogram(values, 10, (low - 1e-3, high + 1e-3))
    assert np.abs(counts / len(values) - 0.1).max() < 0.01


def test_angles_and_sizes_are_uniform_and_independent():
    warps = plan(indices=MANY, image_size=(32, 32), max_rotation=30.0, max_scale=0.25).warps
    assert warps.dtype == np.int32
    assert_uniform(angles(warps), -30, 30)
    assert_uniform(sizes(warps), 0.75, 1.25)
    assert abs(np.corrcoef(angles(warps), sizes(warps))[0, 1]) < 0.03


def test_rotation_and_scale_leave_the_centre_where_it_is_and_contain_flips_and_shifts():
    made = plan(indices=MANY, image_size=SIZE, max_rotation=90.0, max_scale=0.5)
    centre = np.array([*(np.array(SIZE) - 1) / 2, 1])
    assert np.allclose(made.warps @ centre / 2**16, centre[:2], atol=0.01)
    drawn = plan(indices=MANY, flips="random", max_shift=3)
    both = plan(indices=MANY, image_size=SIZE, flips="random", max_shift=3, max_rotation=20.0)
    rows, columns = (both.warps @ centre / 2**16).T
    assert np.allclose(rows - centre[0], drawn.shifts[:, 0], atol=0.01)
    assert np.allclose(columns - centre[1], drawn.shifts[:, 1] * np.where(drawn.flips, -1, 1), atol=0.01)
    mirrored = np.linalg.det(both.warps[:, :, :2].astype(float)) < 0
    assert np.array_equal(mirrored, drawn.flips == 1)
    assert not both.flips.any()
    assert not both.shifts.any()


def test_brightness_contrast_and_saturation_are_uniform_and_independent():
    colours = plan(indices=MANY, max_colour=0.4).colours / 2**12
    contrast = 1 - colours[:, 2] / 128
    brightness = (colours[:, 0] + colours[:, 1]) / contrast
    saturation = colours[:, 0] / (colours[:, 0] + colours[:, 1])
    factors = np.stack([brightness, contrast, saturation])
    for factor in factors:
        assert_uniform(factor, 0.6, 1.4)
    assert np.abs(np.corrcoef(factors) - np.eye(3)).max() < 0.03


def test_boxes_are_squares_about_uniform_pixels_cut_at_the_border():
    boxes = plan(indices=MANY, image_size=(20, 30), cutout_size=0.5).boxes
    assert boxes.dtype == np.int16
    assert boxes.min() == 0
    assert boxes.max(axis=0).tolist() == [14, 24, 20, 30]
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (heights.min(), heights.max(), widths.min(), widths.max()) == (5, 10, 5, 10)
    assert abs((heights == 10).mean() - 11 / 20) < 0.02
    assert abs((widths == 10).mean() - 21 / 30) < 0.02
    assert (plan(image_size=(16, 16), cutout_size=0.05).boxes[:, 2] > 0).all()


def test_half_the_images_are_flipped_and_shifts_are_uniform():
    many = plan(indices=np.arange(20_000), flips="random", max_shift=2)
    assert many.flips.dtype == np.uint8
    assert many.shifts.dtype == np.int8
    assert set(np.unique(many.flips)) == {0, 1}
    assert abs(many.flips.mean() - 0.5) < 0.02
    for axis in range(2):
        values, counts = np.unique(many.shifts[:, axis], return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert np.abs(counts / 20_000 - 0.2).max() < 0.02
    assert abs(np.corrcoef(many.shifts.T)[0, 1]) < 0.03  # the two axes are drawn independently


def test_alternating_flips_show_each_image_both_ways_in_turn():
    indices = np.arange(5, 20_000)

    def flips(epoch):
        drawn = plan(indices=indices, flips="alternating", epoch=epoch)
        by_image = np.zeros(20_000, int)
        by_image[drawn.order] = drawn.flips
        return by_image[5:]

    first, second, third = map(flips, range(3))
    assert abs(first.mean() - 0.5) < 0.02
    assert np.array_equal(second, 1 - first)
    assert np.array_equal(third, first)


def test_alternating_flips_of_no_images():
    assert plan(indices=np.arange(0), flips="alternating").flips.size == 0


def test_the_last_batch_may_be_smaller():
    steps = plan().steps
    assert steps.dtype == np.int64
    assert steps.tolist() == [[0, 32], [32, 64], [64, 96], [96, 128], [128, 130]]


@pytest.mark.parametrize(
    ("count", "batch", "drop_single", "last"),
    [
        (9, 4, False, [8, 9]),
        (9, 4, True, [4, 8]),
        (10, 4, True, [8, 10]),
        (8, 4, True, [4, 8]),
        (3, 8, True, [0, 3]),
        (1, 8, True, [0, 1]),
    ],
)
def test_drop_single_drops_a_last_batch_of_one_image(count, batch, drop_single, last):
    made = plan(indices=np.arange(count), batch_size=batch, drop_single=drop_single)
    assert made.steps[-1].tolist() == last
    assert len(made.learning_rates) == len(made.steps)
    assert len(made.order) == count


@pytest.mark.parametrize("cuts", [[2], [1, 2, 4], [0, 5], [3, 3]])
def test_the_parts_of_a_plan_concatenate_to_the_whole(cuts):
    whole = plan(schedule="one-cycle", flips="random", max_shift=1)
    edges = [0, *cuts, len(whole.steps) + 3]  # beyond the last step
    parts = [whole.part(first, last) for first, last in pairwise(edges)]
    assert np.array_equal(np.concatenate([part.steps for part in parts]), whole.steps)
    assert np.array_equal(np.concatenate([part.learning_rates for part in parts]), whole.learning_rates)
    for part in parts:
        assert np.array_equal(part.order, whole.order)
        assert np.array_equal(part.shifts, whole.shifts)
        assert part.dropout_key == whole.dropout_key


def test_the_constant_schedule_stays_at_the_peak():
    assert (learning_rates("constant", 0.3, 0, 50, 50) == 0.3).all()


def test_the_cosine_schedule_decreases_from_the_peak_to_zero():
    rates = learning_rates("cosine", 0.3, 0, 100, 100)
    assert rates[0] == 0.3
    assert rates[50] == pytest.approx(0.15)
    assert 0 < rates[-1] < 0.001
    assert (np.diff(rates) < 0).all()


def test_the_one_cycle_schedule_rises_linearly_from_4_percent_and_decreases_to_zero():
    rates = learning_rates("one-cycle", 0.5, 0, 1000, 1000)
    assert rates[0] == pytest.approx(0.04 * 0.5)
    assert rates[150] == pytest.approx((0.04 + 0.96 / 2) * 0.5)
    assert rates.argmax() == 300
    assert rates[300] == pytest.approx(0.5)
    assert rates[650] == pytest.approx(0.25)
    assert 0 < rates[-1] < 0.001
    assert (np.diff(rates[:301]) > 0).all()
    assert (np.diff(rates[300:]) < 0).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_the_schedule_continues_from_epoch_to_epoch(schedule):
    epochs = [plan(epoch=epoch, schedule=schedule).learning_rates for epoch in range(4)]
    assert np.array_equal(np.concatenate(epochs), learning_rates(schedule, 0.1, 0, 20, 20))
    assert all(rates.dtype == np.float64 for rates in epochs)


M64, M32 = 2**64 - 1, 2**32 - 1


def splitmix64(state):
    """One output of SplitMix64 from its advanced state, in Python's integers."""
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & M64
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) & M64
    return state ^ state >> 31


def documented_hash(key, layer, position, unit):
    """The hash as the docstring of `dropout_keep` gives it."""
    row = splitmix64((key + (layer * 2**32 + position) * 0x9E3779B97F4A7C15) & M64)
    x = ((row & M32) + unit * 0x9E3779B1) & M32
    x = ((x ^ x >> 16) * 0x7FEB352D) & M32
    x = ((x ^ row >> 32 ^ x >> 15) * 0x846CA68B) & M32
    return x ^ x >> 16


def test_the_row_is_the_published_splitmix64():
    # The first outputs for seed 1234567, as the generator's author and Rosetta Code list them.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [splitmix64((1234567 + n * 0x9E3779B97F4A7C15) & M64) for n in (1, 2, 3)] == published


@pytest.mark.parametrize("key", [0, 1, 0x0123456789ABCDEF, M64])
@pytest.mark.parametrize(("layer", "first"), [(0, 0), (9, 4_990), (12, 2**31)])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.999])
def test_units_are_kept_according_to_the_documented_hash(key, layer, first, p):
    positions = range(first, first + 5)
    kept = dropout_keep(key, layer, np.array(positions), 70, p)
    least = int(p * 2**32)
    assert kept.dtype == np.bool_
    assert kept.tolist() == [[documented_hash(key, layer, at, unit) >= least for unit in range(70)] for at in positions]


def test_the_hash_has_not_changed():
    # Runs of earlier versions must resume with identical results.
    kept = dropout_keep(0xFEEDFACECAFEBEEF, 9, np.arange(1000), 120, 0.3)
    assert hashlib.sha256(np.packbits(kept).tobytes()).hexdigest() == (
        "c1d02d1bdf52de1317bd6d58733734111b91e822598f59fcf351f002906db6ff"
    )


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_the_fraction_kept_is_one_minus_p(p):
    kept = dropout_keep(plan().dropout_key, 9, np.arange(4000), 100, p)
    deviation = (p * (1 - p)) ** 0.5
    assert abs(kept.mean() - (1 - p)) < 5 * deviation / kept.size**0.5
    for axis, count in ((0, 4000), (1, 100)):  # and so for each unit, and at each position
        assert np.abs(kept.mean(axis=axis) - (1 - p)).max() < 6 * deviation / count**0.5


def test_no_unit_is_dropped_at_probability_0():
    assert dropout_keep(plan().dropout_key, 9, np.arange(500), 84, 0.0).all()


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_layers_epochs_neighbouring_positions_and_units_are_independent(p):
    key, positions = plan().dropout_key, np.arange(3000)
    one = dropout_keep(key, 9, positions, 100, p)
    pairs = {
        "layer": (one, dropout_keep(key, 12, positions, 100, p)),
        "epoch": (one, dropout_keep(plan(epoch=2).dropout_key, 9, positions, 100, p)),
        "position": (one[:-1], one[1:]),
        "unit": (one[:, :-1], one[:, 1:]),
        "half": (one[:, :50], one[:, 50:]),
    }
    for a, b in pairs.values():
        share = (a & b).mean()
        assert abs(share - (1 - p) ** 2) < 6 * 0.5 / a.size**0.5


def test_each_position_has_its_own_row_whichever_are_asked_for():
    whole = dropout_keep(77, 3, np.arange(50), 10, 0.4)
    assert np.array_equal(dropout_keep(77, 3, np.arange(20, 31), 10, 0.4), whole[20:31])
