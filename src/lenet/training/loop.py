"""The training loop: trains all networks of a run and saves each after every epoch."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace

from lenet.errors import InputError
from lenet.runs.run import Clock, Run
from lenet.runs.tensors import STATE_MEND, save_state, saved_state
from lenet.training.setup import Setup, threads_each
from lenet.training.training import Stopped, Training

Watch = Callable[[Setup, Sequence[Training]], None]

_WATCH_SECONDS = 0.1


def load_trainings(setup: Setup, run: Run) -> list[Training]:
    """One training per network of the setup, resumed from its state in the run folder if there is one.

    Raises InputError if a state is damaged or of another network.
    """
    trainings = [Training(setup, number) for number in range(len(setup.networks))]
    for training in trainings:
        state = saved_state(run, training.seed)
        if state is None:
            continue
        try:
            training.load(state)
        except ValueError as error:
            path = run.state_path(training.seed)
            raise InputError(f"{path} is of another network ({error}): {STATE_MEND}") from None
    return trainings


def train_all(setup: Setup, trainings: Sequence[Training], run: Run, watch: Watch | None, started: float) -> Clock:
    """Train all networks, `setup.workers` at once, and return the wall time of the run, earlier sessions included.

    watch: called before the first epoch, about ten times a second, and after the last epoch
    started: the time.perf_counter() at which the command started

    Raises InputError if a file cannot be written, and whatever an engine or `watch` raises.
    """
    loop_started = time.perf_counter()
    before, saving = run.clock(), threading.Lock()

    def clock() -> Clock:
        now = time.perf_counter()
        return Clock(loop=before.loop + now - loop_started, total=before.total + now - started)

    def train_one(training: Training) -> None:
        while not training.finished:
            # Towards the end of a run the last networks also use the cores of the finished ones.
            left = sum(not one.finished for one in trainings)
            threads = threads_each(setup.config, setup.choice, min(left, setup.workers))
            training.settings = replace(training.settings, threads=threads)
            row = training.advance()
            save_state(run, training.seed, training.state())
            with saving:  # the networks share these files
                run.append_metrics(row)
                run.write_clock(clock())

    if watch:
        watch(setup, trainings)
    with ThreadPoolExecutor(setup.workers) as pool:
        tasks = [pool.submit(train_one, training) for training in trainings]
        try:
            while wait(tasks, timeout=_WATCH_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                if watch:
                    watch(setup, trainings)
                if any(task.done() and task.exception() for task in tasks):
                    break
        finally:
            for training, task in zip(trainings, tasks, strict=True):
                training.stop.set()
                task.cancel()
    for task in tasks:
        if not task.cancelled() and not isinstance(task.exception(), Stopped):
            task.result()
    if watch:
        watch(setup, trainings)
    return clock()
