"""Plans of epochs for tests."""

from dataclasses import fields

from lenet.config import Augmentation
from lenet.data.plan import Plan, epoch_plan


def plan_of(indices, **options) -> Plan:
    """`epoch_plan` of these options, among which those of the augmentations may be."""
    drawn = {one.name: options.pop(one.name) for one in fields(Augmentation) if one.name in options}
    return epoch_plan(indices, augment=Augmentation(**drawn), **options)
