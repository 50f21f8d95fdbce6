# cython: language_level=3
"""The one door to csrc/: a function here takes a source, calls C without the
GIL, and turns a status into an exception or the result into Python values."""
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .errors import CoreError

cdef _raise(const fsm_error *e):
    if e.status == FSM_E_NOMEM:
        raise MemoryError
    raise CoreError(<int>e.status, e.offset, e.need, e.have)


cdef class Source:
    """Bytes that can be read at any offset: a piece table over files and patch bytes.

    Args:
        pieces: Packed native records (start, length, origin, fd), each 8 bytes; fd is -1
            for patch bytes. They ascend from 0 without gaps, none empty.
        patch: The bytes that patch pieces point into.
        keep: Whatever must stay alive while this source does (the open files).

    Immutable. Raises CoreError when the table is inconsistent.
    """
    cdef fsm_src src
    cdef readonly bytes pieces
    cdef readonly bytes patch
    cdef readonly object keep

    def __init__(self, bytes pieces not None, bytes patch not None=b"", object keep=None):
        cdef fsm_error e
        if PyBytes_GET_SIZE(pieces) % sizeof(fsm_piece):
            raise ValueError("pieces: not a whole number of records")
        self.pieces = pieces
        self.patch = patch
        self.keep = keep
        if fsm_src_init(&self.src, <const fsm_piece *>PyBytes_AS_STRING(pieces),
                        PyBytes_GET_SIZE(pieces) // sizeof(fsm_piece),
                        <const uint8_t *>PyBytes_AS_STRING(patch), PyBytes_GET_SIZE(patch), &e):
            _raise(&e)

    @property
    def size(self):
        return self.src.size

    def __len__(self):
        return self.src.n_pieces

    def read(self, uint64_t offset, uint64_t n):
        """n bytes at offset, as bytes. Raises CoreError past the end."""
        cdef fsm_error e
        cdef fsm_status s
        if offset > self.src.size or n > self.src.size - offset:
            e = fsm_error(FSM_E_TRUNCATED, offset, n, 0)
            e.have = self.src.size - offset if offset < self.src.size else 0
            _raise(&e)
        out = PyBytes_FromStringAndSize(NULL, n)
        cdef char *to = PyBytes_AS_STRING(out)
        with nogil:
            s = fsm_src_read(&self.src, offset, to, n, &e)
        if s:
            _raise(&e)
        return out

    def readinto(self, uint64_t offset, buffer):
        """Fill a writable buffer with the bytes at offset."""
        cdef fsm_error e
        cdef fsm_status s
        cdef Py_buffer view
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            with nogil:
                s = fsm_src_read(&self.src, offset, view.buf, view.len, &e)
        finally:
            PyBuffer_Release(&view)
        if s:
            _raise(&e)


# --- system calls that os lacks ---

def exchange(bytes a not None, bytes b not None):
    """Let two paths change places in one step. Returns 0, or an errno."""
    cdef const char *first = PyBytes_AS_STRING(a)
    cdef const char *second = PyBytes_AS_STRING(b)
    cdef int code
    with nogil:
        code = fsm_sys_exchange(first, second)
    return code


def fingerprint64(bytes data not None):
    """TensorFlow's Fingerprint64 of bytes."""
    return fsm_fingerprint64(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def fingerprint_cat(uint64_t a, uint64_t b):
    """TensorFlow's FingerprintCat64: folds hash b into a; the order matters."""
    return fsm_fingerprint_cat(a, b)


#: Message name, as in ``MetaGraphDef.MetaInfoDef``, to its id in the core's schema.
MESSAGES = {fsm_schema[i].name.decode(): i for i in range(FSM_N_MESSAGES)}


cdef class Spans:
    """Where a message lies: (start, end) pairs; several spans are one message, merged."""
    cdef fsm_span *items
    cdef size_t n

    def __cinit__(self, spans):
        cdef size_t i
        self.n = len(spans)
        self.items = <fsm_span *>malloc((self.n or 1) * sizeof(fsm_span))
        if self.items == NULL:
            raise MemoryError
        for i in range(self.n):
            self.items[i].start, self.items[i].end = spans[i]

    def __dealloc__(self):
        free(self.items)


cdef class Canon:
    """Hashes or writes messages in C++ protobuf's deterministic order.

    Keeps its working memory between calls; one thread at a time.
    """
    cdef fsm_canon canon

    def __cinit__(self):
        memset(&self.canon, 0, sizeof(self.canon))

    def __dealloc__(self):
        fsm_canon_free(&self.canon)

    def hash(self, Source source not None, int message, spans):
        """Fingerprint64 of the canonical form of the message in these spans.

        Raises CoreError with the offset of what is wrong on the wire.
        """
        cdef Spans where = Spans(spans)
        cdef uint64_t value = 0
        cdef fsm_status s
        with nogil:
            s = fsm_canon_hash(&self.canon, &source.src, message, where.items, where.n, &value)
        if s:
            _raise(&self.canon.cursor.error)
        return value

    def write(self, Source source not None, int message, spans, uint64_t limit):
        """The canonical form itself; CoreError when it takes more than limit bytes."""
        cdef Spans where = Spans(spans)
        cdef uint64_t n = 0
        cdef fsm_status s
        out = PyBytes_FromStringAndSize(NULL, limit)
        cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(out)
        with nogil:
            s = fsm_canon_write(&self.canon, &source.src, message, where.items, where.n,
                                to, limit, &n)
        if s:
            _raise(&self.canon.cursor.error)
        return out[:n]
