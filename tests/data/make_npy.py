#!/usr/bin/python3
"""Writes the .npy files that tests/c/test_npy.c reads. Their values: element i of the flat, C-ordered
array is i - 5 (unsigned: i; bool: i odd), so that the test can say what to expect."""
import os

import numpy as np
from numpy.lib import format as npy

HERE = os.path.dirname(os.path.abspath(__file__))


def values(dtype, shape):
    n = int(np.prod(shape))
    flat = np.arange(n)
    if dtype == "?":
        flat = flat % 2 == 1
    elif not dtype.startswith("u"):
        flat = flat - 5
    return flat.astype(dtype).reshape(shape)


def path(name):
    return os.path.join(HERE, name + ".npy")


for dtype in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split():
    np.save(path(dtype), values(dtype, (3, 4)))
np.save(path("b1"), values("?", (3, 4)))
np.save(path("fortran"), np.asfortranarray(values("f4", (2, 3, 4))))
np.save(path("scalar"), values("f8", ()))
np.save(path("vector"), values("i2", (7,)))
np.save(path("empty"), values("f4", (0, 3)))
np.save(path("big_endian"), values("f4", (3, 4)).astype(">f4"))
np.save(path("record"), np.zeros(2, dtype=[("a", "i4"), ("b", "f4")]))
np.save(path("complex"), np.zeros(2, dtype="c8"))
for version in ((2, 0), (3, 0)):
    with open(path("version%d" % version[0]), "wb") as file:
        npy.write_array(file, values("i4", (3, 4)), version=version)
