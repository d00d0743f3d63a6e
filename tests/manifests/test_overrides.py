"""An author's own fields are laid over labkit's."""

from typing import Any

import pytest

from labkit.manifests.overrides import merged


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}}, {"a": 1, "b": {"c": 4, "d": 3}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({}, {"a": {"b": None, "c": {"d": 1}}}, {"a": {"c": {"d": 1}}}),
        (
            {"disks": [{"name": "root", "disk": {"bus": "virtio"}}, {"name": "seed"}]},
            {"disks": [{"name": "more", "serial": "S"}, {"name": "root", "disk": {"bus": "sata"}}]},
            {"disks": [{"name": "root", "disk": {"bus": "sata"}}, {"name": "seed"}, {"name": "more", "serial": "S"}]},
        ),
        ({"a": [{"name": "x"}]}, {"a": [{"key": "y"}]}, {"a": [{"key": "y"}]}),
        ({"a": [{"name": "x"}]}, {"a": []}, {"a": []}),
    ],
)
def test_maps_are_merged_named_lists_by_name_and_the_rest_is_replaced(base: Any, over: Any, result: Any) -> None:
    assert merged(base, over) == result
