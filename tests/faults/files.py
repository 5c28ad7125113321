"""Files that are whole, and what may become of them."""

import io
import zipfile

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz(**given):
    file = io.BytesIO()
    np.savez(file, **given)
    return file.getvalue()


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


class Harmful:
    """What leaves a file where it is unpickled."""

    def __reduce__(self):
        return open, ("harmed", "w")


WHOLE = [
    ("npy", npy(np.arange(5.0))),
    ("npy", npy(np.array([Harmful()], object))),
    ("npz", npz(x=np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), label=np.array([0, 1, 1]))),
    ("npz", npz(r=np.arange(3.0))),
    ("npz", zipped(x="no array", label="neither")),
    ("csv", b"r,y\n1.5,0\n2,1\n-3e4,1\n"),
    ("csv", "r\n1\n".encode("utf-16")),
]
ARRAYS = st.one_of(
    hn.arrays(hn.scalar_dtypes(), hn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    hn.arrays(np.float64, st.integers(0, 5), elements=st.floats()),
)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


def changed_by(content, changes):
    changed = bytearray(content)
    for at, byte in changes:
        changed[int(at * len(changed))] = byte
    return bytes(changed)


@st.composite
def broken(draw):
    """A whole file with some bytes changed, cut off or put behind, or bytes of no kind."""
    kind, content = draw(st.sampled_from(WHOLE))
    changed = changed_by(content, draw(CHANGES))
    end = draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    return kind, draw(st.one_of(st.just(changed[:end]), st.binary(max_size=60))) + draw(st.sampled_from([b"", b"\n1"]))
