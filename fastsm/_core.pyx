# cython: language_level=3
"""The one door to csrc/: a function here takes a source, calls C without the
GIL, and turns a status into an exception or the result into Python values."""
cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_READ,
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport PyObject, Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from .errors import CoreError

# Of bytes that are filled, and shortened where they lie.
cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *s, Py_ssize_t n) except NULL
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t n) except -1

# fsm_status to the kind of a CoreError.
cdef dict KINDS = {
    FSM_E_IO: "IO", FSM_E_CHANGED: "CHANGED", FSM_E_TRUNCATED: "TRUNCATED",
    FSM_E_VARINT: "VARINT", FSM_E_TAG: "TAG", FSM_E_WIRE: "WIRE", FSM_E_GROUP: "GROUP",
    FSM_E_DEPTH: "DEPTH", FSM_E_UTF8: "UTF8", FSM_E_LIMIT: "LIMIT", FSM_E_INVALID: "INVALID",
    FSM_E_MAGIC: "MAGIC", FSM_E_HANDLE: "HANDLE", FSM_E_BLOCK: "BLOCK", FSM_E_RESTARTS: "RESTARTS",
    FSM_E_CRC: "CRC",
    FSM_E_SNAPPY: "SNAPPY", FSM_E_ORDER: "ORDER",
}


cdef _raise(const fsm_error *e):
    if e.status == FSM_E_NOMEM:
        raise MemoryError
    raise CoreError(KINDS[<int>e.status], e.offset, e.need, e.have)


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


cdef class Pipe:
    """What one thread reads of a source, handed on to another one that writes it.

    The reading thread calls `read`, or whatever reads `tapped`, and `end` in any case; the
    writing thread calls `take` until that gives None, or `stop`.

    Attributes:
        source: What is read.
        tapped: The same bytes; what is read of them is handed on, as far as it ascends.
    """
    cdef fsm_pipe pipe
    cdef bint made
    cdef readonly Source source

    def __init__(self, Source source not None):
        if self.made:
            raise ValueError("a pipe is made once")
        if fsm_pipe_init(&self.pipe, &source.src):
            raise MemoryError
        self.made = True
        self.source = source

    def __dealloc__(self):
        if self.made:
            fsm_pipe_free(&self.pipe)

    @property
    def tapped(self):
        cdef Source twin = Source(self.source.pieces, self.source.patch, (self,))
        twin.src.tap = &self.pipe.tap
        return twin

    def read(self, uint64_t start, uint64_t stop):
        """Read a stretch of the source and hand it on, whole."""
        cdef fsm_error e
        cdef fsm_status s
        with nogil:
            s = fsm_pipe_read(&self.pipe, start, stop, &e)
        if s:
            _raise(&e)

    def end(self):
        """Nothing more will be read."""
        fsm_pipe_end(&self.pipe)

    def take(self):
        """(offset, bytes) of the next stretch, behind all before it; None at the end.

        The bytes are a view that the next call makes invalid. Waits, and lets Ctrl-C through.
        """
        cdef uint64_t offset
        cdef const uint8_t *data
        cdef size_t n
        cdef fsm_pipe_state state = FSM_PIPE_NOT_YET
        while state == FSM_PIPE_NOT_YET:
            with nogil:
                state = fsm_pipe_take(&self.pipe, 50, &offset, &data, &n)
            PyErr_CheckSignals()
        if state == FSM_PIPE_END:
            return None
        return offset, PyMemoryView_FromMemory(<char *>data, n, PyBUF_READ)

    def stop(self):
        """Nothing more will be taken: the reading thread need not wait."""
        fsm_pipe_stop(&self.pipe)


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


# --- fields of a message ---

@cython.final
@cython.freelist(64)
cdef class Field:
    """One field of a message, read up to its payload.

    Attributes:
        number: The field's number.
        wire: 0 varint, 1 fixed64, 2 length-delimited, 3 group, 5 fixed32.
        start, end: The whole field in the source, tag included.
        length_at: Behind the tag: where the length varint, or the value, begins.
        at: Where its payload begins (length-delimited and groups); it ends at ``end``.
        value: Varint and fixed: the value, unsigned. Else 0.
    """
    cdef readonly uint32_t number
    cdef readonly int wire
    cdef readonly uint64_t start, end, length_at, at, value

    def __repr__(self):
        return f"Field(number={self.number}, wire={self.wire}, start={self.start}, end={self.end})"


# Most messages that are scanned are small: their bytes fit on the stack.
cdef enum:
    SCAN_WINDOW = 4096


def scan(Source source not None, spans, *, uint32_t only=0, size_t most=1 << 18):
    """The fields of the message in these spans, in file order, as a list of Field.

    Nothing is entered: a payload is stepped over, whatever its size.

    Args:
        only: List the fields with this number alone; 0: all.
        most: Stop after so many fields. Without ``only``, more is an error (LIMIT): a file
            must not decide how many objects are made of it.

    Raises CoreError where the wire format is broken.
    """
    cdef uint8_t window[SCAN_WINDOW]
    cdef fsm_cursor c
    cdef fsm_field f
    cdef fsm_error e
    cdef Field field
    cdef list out = []
    fsm_cursor_init(&c, &source.src, window, SCAN_WINDOW)
    for start, end in spans:
        if fsm_cursor_span(&c, start, end):
            _raise(&c.error)
        while not fsm_cursor_done(&c):
            if fsm_cursor_next(&c, &f):
                _raise(&c.error)
            if only and f.number != only:
                continue
            if <size_t>len(out) == most:
                if only:
                    return out
                e = fsm_error(FSM_E_LIMIT, f.start, most, 0)
                _raise(&e)
            field = Field.__new__(Field)
            field.number = f.number
            field.wire = f.wire
            field.start = f.start
            field.end = f.end
            field.length_at = f.tag_end
            if f.wire == FSM_LEN or f.wire == FSM_GROUP:
                field.at = f.value
                field.value = 0
            else:
                field.at = f.end
                field.value = f.value
            out.append(field)
    return out


def count(Source source not None, spans, uint32_t number):
    """How many length-delimited fields with this number the message in these spans has."""
    cdef Spans where = Spans(spans)
    cdef uint8_t window[SCAN_WINDOW]
    cdef fsm_cursor c
    cdef fsm_field f
    cdef fsm_status s = FSM_OK
    cdef uint64_t n = 0
    cdef size_t i
    fsm_cursor_init(&c, &source.src, window, SCAN_WINDOW)
    with nogil:
        for i in range(where.n):
            s = fsm_cursor_span(&c, where.items[i].start, where.items[i].end)
            while not s and not fsm_cursor_done(&c):
                s = fsm_cursor_next(&c, &f)
                n += not s and f.number == number and f.wire == FSM_LEN
            if s:
                break
    if s:
        _raise(&c.error)
    return n


# --- single fields ---

def number(uint32_t field, uint64_t value):
    """A varint field in its minimal form; nothing for zero, proto3's default."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, fsm_size_number(field, value))
    fsm_put_number(<uint8_t *>PyBytes_AS_STRING(out), field, value)
    return out


def delimited(uint32_t field, bytes payload not None):
    """A length-delimited field: a string, bytes or a message."""
    cdef size_t n = PyBytes_GET_SIZE(payload)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, fsm_size_delimited(field, n))
    fsm_put_delimited(<uint8_t *>PyBytes_AS_STRING(out), field, PyBytes_AS_STRING(payload), n)
    return out


# --- checksums of bytes ---

def crc32c(data not None, uint32_t crc=0):
    """The CRC-32C of a buffer's bytes, after bytes whose checksum is ``crc``."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            crc = fsm_crc32c(crc, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return crc


def crc32c_source(Source source not None):
    """The CRC-32C of all bytes of a source, read through a window."""
    cdef fsm_error e
    cdef fsm_status s = FSM_OK
    cdef uint32_t crc = 0
    cdef uint64_t at = 0
    cdef size_t n
    cdef uint8_t *window = <uint8_t *>malloc(FSM_WINDOW)
    if window == NULL:
        raise MemoryError
    with nogil:
        while at < source.src.size and not s:
            n = min(source.src.size - at, FSM_WINDOW)
            s = fsm_src_read(&source.src, at, window, n, &e)
            crc = fsm_crc32c(crc, window, n)
            at += n
    free(window)
    if s:
        _raise(&e)
    return crc


def crc32c_combine(uint32_t first, uint32_t second, uint64_t n):
    """The checksum of two runs of bytes laid end to end; the second has n bytes."""
    return fsm_crc32c_combine(first, second, n)


def crc32c_mask(uint32_t crc):
    """A checksum as files store it."""
    return fsm_crc32c_mask(crc)


def crc32c_unmask(uint32_t masked):
    """A stored checksum as it was computed."""
    return fsm_crc32c_unmask(masked)


def first_difference(Source a not None, uint64_t at_a, Source b not None, uint64_t at_b,
                     uint64_t n):
    """The first of n bytes in which two stretches differ, counted from 0; None when they
    are the same. Raises CoreError where one goes past its source's end."""
    cdef fsm_error e
    cdef fsm_status s
    cdef c_bool same
    cdef uint64_t at
    cdef uint8_t *window = <uint8_t *>malloc(2 * FSM_WINDOW)
    if window == NULL:
        raise MemoryError
    with nogil:
        s = fsm_src_same(&a.src, at_a, &b.src, at_b, n, window, 2 * FSM_WINDOW, &same, &at, &e)
    free(window)
    if s:
        _raise(&e)
    return None if same else at


# --- whole messages ---

cdef dict MESSAGES = {fsm_schema[i].name.decode(): i for i in range(FSM_N_MESSAGES)}


def message_id(str name not None):
    """The id of a message, named as ``MetaGraphDef.MetaInfoDef``, in the core's schema."""
    return MESSAGES[name]


def field_of(str message not None, uint32_t number):
    """(name, whether it repeats, the type of its message or "") of a field in the core's
    schema; None for one that it does not know."""
    cdef const fsm_message_def *m = &fsm_schema[<int>MESSAGES[message]]
    cdef const fsm_field_def *f = fsm_field_of(m, number)
    if f == NULL:
        return None
    inner = fsm_schema[f.message].name.decode() if f.kind == FSM_KIND_MESSAGE else ""
    return m.names[number].decode(), bool(f.flags & FSM_REPEATED), inner


def parse(Source source not None, str message not None, spans, *, uint32_t only=0,
          str located not None="TensorProto"):
    """The message in these spans with all that lies in it, as protobuf parses it.

    Args:
        message: Its type, named as ``MetaGraphDef.MetaInfoDef``.
        only: The number of the one field to read; 0: all.
        located: A type of messages that are not entered; tensors never are.

    Returns:
        A dict: field number -> value. What the file does not set is not in it, nor what
        the schema does not know; of a oneof only the member that counts. A message is a
        dict, a repeated field a list, a map a dict by key. Strings are str; integers int,
        those of a sint64 still zigzag; floats their bits, as int. A field of bytes is the
        (start, end) where it lies; a message that is not entered a list of such, merged.

    Raises CoreError where the wire format is broken, a string is not UTF-8, or there is
    more than the core takes at a time.
    """
    cdef Spans where = Spans(spans)
    cdef int kind = MESSAGES[message]
    cdef uint8_t window[SCAN_WINDOW]
    cdef fsm_cursor c
    cdef fsm_status s
    cdef Parse p
    cdef dict out = {}
    memset(&p, 0, sizeof(p))
    p.wanted.only = only
    p.wanted.located = MESSAGES[located]
    fsm_cursor_init(&c, &source.src, window, SCAN_WINDOW)
    try:
        with nogil:
            s = fsm_parse(&p.parsed, &c, kind, where.items, where.n, &p.wanted)
        if s:
            _raise(&c.error)
        _merge(&p, p.parsed.values.n, &fsm_schema[kind], out)
    finally:
        fsm_parsed_free(&p.parsed)
    return out


# What was parsed, and which value is the next to be worked in.
cdef struct Parse:
    fsm_wanted wanted
    fsm_parsed parsed
    size_t at


cdef int _merge(Parse *p, size_t end, const fsm_message_def *m, dict into) except -1:
    """Work the values up to `end`, all that a message holds, into its dict."""
    cdef const fsm_value *v
    cdef const fsm_field_def *f
    while p.at < end:
        v = &(<const fsm_value *>p.parsed.values.items)[p.at]
        p.at += 1
        f = v.field
        number = f.number
        old = into.get(number)
        if old is None and f.flags & FSM_ONEOF and into:
            for other in list(into):  # another member clears what was there
                if m.oneof >> <int>other & 1:
                    del into[other]
        if f.flags & FSM_MAP:
            if old is None:
                old = into[number] = {}
            _add_entry(p, v, <dict>old)
        elif f.flags & FSM_REPEATED:
            if old is None:
                old = into[number] = []
            (<list>old).append(_value(p, v, None))
        else:
            into[number] = _value(p, v, old)
    return 0


cdef int _add_entry(Parse *p, const fsm_value *v, dict into) except -1:
    cdef const fsm_message_def *m = &fsm_schema[v.field.message]
    cdef dict entry = {}
    _merge(p, p.at + v.size, m, entry)
    key, value = entry.get(FSM_ENTRY_KEY), entry.get(FSM_ENTRY_VALUE)
    if key is None:
        key = _default(p, &m.fields[FSM_ENTRY_KEY])
    into[key] = _default(p, &m.fields[FSM_ENTRY_VALUE]) if value is None else value
    return 0


cdef object _value(Parse *p, const fsm_value *v, old):
    """What a value is in Python; a message goes on in the old one."""
    cdef int kind = v.field.kind
    cdef dict inner
    if v.field.flags & FSM_TEXT:
        try:
            return PyUnicode_DecodeUTF8(<char *>p.parsed.text.items + v.value, v.size, NULL)
        except UnicodeDecodeError as e:
            raise CoreError("UTF8", v.at + <uint64_t>e.start, 0, 0) from None
    if kind == FSM_KIND_BYTES:
        return v.at, v.at + v.size
    if fsm_is_located(v.field, &p.wanted):
        spans = [] if old is None else old
        (<list>spans).append((v.at, v.at + v.size))
        return spans
    if kind == FSM_KIND_MESSAGE:
        inner = {} if old is None else old
        _merge(p, p.at + v.size, &fsm_schema[v.field.message], inner)
        return inner
    if kind == FSM_KIND_BOOL:
        return v.value != 0
    if kind == FSM_KIND_INT64 or kind == FSM_KIND_INT32:
        return <int64_t>v.value
    return v.value


cdef object _default(Parse *p, const fsm_field_def *f):
    """What a map entry has that leaves this field out."""
    if f.flags & FSM_TEXT:
        return ""
    if fsm_is_located(f, &p.wanted):
        return []
    if f.kind == FSM_KIND_MESSAGE:
        return {}
    return (0, 0) if f.kind == FSM_KIND_BYTES else False if f.kind == FSM_KIND_BOOL else 0


# --- fingerprints ---

def fingerprint64(bytes data not None):
    """TensorFlow's Fingerprint64 of bytes."""
    return fsm_fingerprint64(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def fingerprint_cat(uint64_t a, uint64_t b):
    """TensorFlow's FingerprintCat64: folds hash b into a; the order matters."""
    return fsm_fingerprint_cat(a, b)


def fingerprint_source(Source source not None):
    """Fingerprint64 of all bytes of a source, read through a window."""
    cdef fsm_farm farm
    cdef fsm_error e
    cdef fsm_status s = FSM_OK
    cdef uint64_t at = 0, n
    cdef size_t capacity = 1 << 18
    cdef uint8_t *window = <uint8_t *>malloc(capacity)
    if window == NULL:
        raise MemoryError
    fsm_farm_init(&farm)
    with nogil:
        while at < source.src.size and not s:
            n = source.src.size - at
            if n > capacity:
                n = capacity
            s = fsm_src_read(&source.src, at, window, n, &e)
            if not s:
                fsm_farm_update(&farm, window, n)
                at += n
    free(window)
    if s:
        _raise(&e)
    return fsm_farm_finish(&farm)


def irregular_nodes(Source source not None):
    """The nodes of a GraphDef, which is the whole source, that graph_def_program_hash
    changes before it hashes: (length_at, at, end, is_call) of each, in file order."""
    cdef fsm_cursor c
    cdef fsm_irregular node
    cdef c_bool found = True
    cdef fsm_status s
    cdef list out = []
    cdef uint8_t *window = <uint8_t *>malloc(FSM_WINDOW)
    if window == NULL:
        raise MemoryError
    try:
        fsm_cursor_init(&c, &source.src, window, FSM_WINDOW)
        while found:
            with nogil:
                s = fsm_program_next(&c, &node, &found)
            if s:
                _raise(&c.error)
            if found:
                out.append((node.node.tag_end, node.node.value, node.node.end, node.is_call))
    finally:
        free(window)
    return out


CUTS = {"devices": FSM_CUT_DEVICES, "debug": FSM_CUT_DEBUG}


def cuts(Source source not None, str what, uint64_t start, uint64_t end,
         bytearray splices not None, bytearray fields not None, int64_t parent,
         uint64_t depth):
    """What a GraphDef can do without, its functions too, and how to cut it out.

    Args:
        what: One of CUTS: the devices of nodes; or what debugs them: the attributes
            _output_shapes and _input_shapes, debug infos.
        start, end: One span of the GraphDef.
        splices, fields: Rows as `rewrite` takes them; those that cut them out are added.
        parent: The row of the field that is this span.
        depth: How many fields there are around it, its own with them.

    Returns:
        (counts, n_main): (device or name, how often it is there) in order of first sight; how
        often any is in a node of the main graph.

    Raises CoreError where the graph is broken on the wire, or past the core's limits.
    """
    cdef fsm_cuts found
    cdef fsm_cut kind = CUTS[what]
    cdef fsm_around around
    cdef fsm_span graph = fsm_span(start, end)
    cdef fsm_error e
    cdef fsm_status s
    cdef uint64_t *counts
    around = fsm_around(parent, len(fields) // sizeof(fsm_enclosing), depth)
    memset(&found, 0, sizeof(found))
    try:
        with nogil:
            s = fsm_cuts_scan(&found, &source.src, kind, &graph, &around, &e)
        if s:
            _raise(&e)
        _extend(splices, &found.splices, sizeof(fsm_splice))
        _extend(fields, &found.fields, sizeof(fsm_enclosing))
        counts = <uint64_t *>found.counts.items
        names = [(_name(&found.names, i), counts[i]) for i in range(found.counts.n)]
        return names, found.n_main
    finally:
        fsm_cuts_free(&found)


cdef _extend(bytearray to, fsm_array *items, size_t size):
    cdef size_t n = len(to)
    if items.n:
        PyByteArray_Resize(to, n + items.n * size)
        memcpy(PyByteArray_AS_STRING(to) + n, items.items, items.n * size)
        free(items.items)
        items.items = NULL


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


# --- nodes ---

cdef char *ROW_FORMAT = b"QQIIII"


cdef bytes _name(const fsm_names *names, uint32_t i):
    cdef uint32_t n
    cdef const uint8_t *name = fsm_names_get(names, i, &n)
    return (<const char *>name)[:n]


cdef class NodeIndex:
    """Every node of a GraphDef and of its function library.

    Args:
        spans: The GraphDef's; several merge.
        depth: 0 counts only; 1 names and functions too, which is what ops_used
            needs; 2 a row for each node.

    As a buffer it is the rows: 32 bytes each, native ``QQIIII``: start and name (offsets
    in the source), length, name length, op (a name's id), owner (0 the main graph,
    i + 1 function i). Main graph and functions stand in file order.

    Raises CoreError where the graph is broken on the wire, or past the core's limits.
    """
    cdef fsm_nodes nodes
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __cinit__(self):
        memset(&self.nodes, 0, sizeof(self.nodes))

    def __init__(self, Source source not None, spans, int depth=1):
        cdef Spans where = Spans(spans)
        cdef fsm_error e
        cdef fsm_status s
        fsm_nodes_free(&self.nodes)
        with nogil:
            s = fsm_nodes_scan(&self.nodes, &source.src, where.items, where.n,
                               <fsm_nodes_depth>depth, &e)
        if s:
            _raise(&e)

    def __dealloc__(self):
        fsm_nodes_free(&self.nodes)

    @property
    def n_nodes(self):
        """Nodes of the main graph."""
        return self.nodes.n_nodes

    @property
    def n_function_nodes(self):
        return self.nodes.n_function_nodes

    @property
    def n_functions(self):
        return self.nodes.n_functions

    def __len__(self):
        return self.nodes.nodes.n

    cdef bytes _name(self, uint32_t i):
        return _name(&self.nodes.names, i)

    def names(self):
        """The interned op and function names, by id, as bytes."""
        return [self._name(i) for i in range(self.nodes.names.ends.n)]

    def functions(self):
        """(name, start, end, first row, number of nodes) of each function, in file order."""
        cdef fsm_function *f = <fsm_function *>self.nodes.functions.items
        return [
            (self._name(f[i].name), f[i].start, f[i].start + f[i].length, f[i].first_node,
             f[i].n_nodes)
            for i in range(self.nodes.functions.n)
        ]

    def libraries(self):
        """(start, end) of the function library, of each part of it. Needs depth 2."""
        cdef fsm_span *span = <fsm_span *>self.nodes.libraries.items
        return [(span[i].start, span[i].end) for i in range(self.nodes.libraries.n)]

    def ops_used(self):
        """Names of the ops that the main graph needs, through the functions that it calls
        by PartitionedCall or as an op: what saved_model_cli lists. In order of first sight.
        """
        cdef bytearray used = bytearray(self.nodes.names.ends.n or 1)
        cdef uint8_t *to = <uint8_t *><char *>used
        if fsm_nodes_ops_used(&self.nodes, to):
            raise MemoryError
        return [self._name(i) for i in range(self.nodes.names.ends.n) if to[i]]

    def using(self, ops):
        """Where there are nodes of these ops (names): 0 the main graph, i + 1 function i."""
        cdef fsm_use *use = <fsm_use *>self.nodes.uses.items
        cdef bytearray wanted = self._wanted(ops)
        cdef const uint8_t *is_wanted = <const uint8_t *>PyByteArray_AS_STRING(wanted)
        cdef size_t i
        return sorted({use[i].owner for i in range(self.nodes.uses.n) if is_wanted[use[i].name]})

    cdef bytearray _wanted(self, ops):
        """A byte for each interned name, 1 for these."""
        cdef bytearray wanted = bytearray(self.nodes.names.ends.n or 1)
        cdef uint32_t id
        cdef bytes op
        for op in ops:
            if fsm_names_find(&self.nodes.names, <const uint8_t *>PyBytes_AS_STRING(op),
                              PyBytes_GET_SIZE(op), &id):
                wanted[id] = 1
        return wanted

    def taking(self, Source source not None, bytes node not None):
        """The rows, in file order, of the nodes that take an output of this node.

        Of all graphs: of the main one and of the functions. Needs depth 2, and the source
        that was indexed; raises CoreError like the constructor.
        """
        return self._naming(source, FSM_NAMING_INPUT, node)

    def naming(self, Source source not None, bytes function not None):
        """The rows of the nodes that name this function: as their op, or in an attribute."""
        return self._naming(source, FSM_NAMING_FUNCTION, function)

    cdef list _naming(self, Source source, fsm_naming what, bytes name):
        cdef fsm_array rows
        cdef fsm_error e
        cdef fsm_status s
        cdef const uint8_t *p = <const uint8_t *><const char *>name
        cdef uint32_t n = len(name)
        memset(&rows, 0, sizeof(rows))
        try:
            with nogil:
                s = fsm_nodes_naming(&self.nodes, &source.src, what, p, n, &rows, &e)
            if s:
                _raise(&e)
            return [(<uint32_t *>rows.items)[i] for i in range(rows.n)]
        finally:
            free(rows.items)

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.shape[0] = self.nodes.nodes.n
        self.strides[0] = sizeof(fsm_node)
        view.buf = self.nodes.nodes.items
        view.obj = self
        view.len = self.nodes.nodes.n * sizeof(fsm_node)
        view.itemsize = sizeof(fsm_node)
        view.readonly = 1
        view.ndim = 1
        view.format = ROW_FORMAT if flags & PyBUF_FORMAT else NULL
        view.shape = self.shape
        view.strides = self.strides
        view.suboffsets = NULL
        view.internal = NULL


include "_edges.pxi"


# --- variables.index ---

# fsm_place, in its order.
cdef tuple PLACES = ("footer", "padding", "metaindex", "index", "block", "header", "entry")


cdef class BundleIndex:
    """variables.index, read whole: its header and a row for each entry.

    Args:
        lenient: Note what is damaged in ``problems`` and go on with the rest; otherwise
            the first damage raises CoreError. A file that is no table always does.
    """
    cdef fsm_index index

    def __cinit__(self):
        memset(&self.index, 0, sizeof(self.index))

    def __init__(self, Source source not None, *, bint lenient=False):
        cdef fsm_error e
        cdef fsm_status s
        fsm_index_free(&self.index)
        with nogil:
            s = fsm_index_read(&self.index, &source.src, lenient, &e)
        if s:
            _raise(&e)

    def __dealloc__(self):
        fsm_index_free(&self.index)

    def __len__(self):
        """Entries, without the header."""
        return self.index.n_entries

    @property
    def total_bytes(self):
        """Of all entries, as they say themselves; shared bytes count each time."""
        return self.index.total_bytes

    @property
    def has_header(self):
        return self.index.header.present

    @property
    def n_shards(self):
        return self.index.header.num_shards

    @property
    def big_endian(self):
        return self.index.header.endianness == 1

    @property
    def n_problems(self):
        return self.index.n_problems_seen

    def problems(self):
        """(kind, place, offset, harmless, key) of each damage that was noted.

        Place is "footer", "padding", "metaindex", "index", "block", "header" or "entry";
        harmless damage is where TensorFlow never looks; key is the entry's, or the highest
        that a lost block could hold.
        """
        cdef fsm_problem *p = self.index.problems
        return [
            (KINDS[<int>p[i].status], PLACES[p[i].place], p[i].offset, p[i].harmless,
             (<char *>self.index.problem_keys)[p[i].key_at:p[i].key_at + p[i].key_size])
            for i in range(self.index.n_problems)
        ]

    def damage(self):
        """(kind, place, offset, need, have, block, block offset, rows, key) of each problem.

        As `problems`; need and have are what csrc/fsm_base.h says for the kind. Block is
        the data block's ordinal, or -1; the rows before ``rows`` were read before it.
        """
        cdef fsm_problem *p = self.index.problems
        return [
            (KINDS[<int>p[i].status], PLACES[p[i].place], p[i].offset, p[i].need, p[i].have,
             -1 if p[i].block == FSM_NO_BLOCK else <int>p[i].block, p[i].block_offset,
             p[i].n_entries,
             (<char *>self.index.problem_keys)[p[i].key_at:p[i].key_at + p[i].key_size])
            for i in range(self.index.n_problems)
        ]

    @property
    def n_blocks(self):
        """Data blocks, as far as the index block names them."""
        return self.index.n_blocks

    def doubles(self):
        """(groups, redundant entries, their bytes) of what looks stored more than once:
        equal size, checksum, dtype and shape, at different places."""
        cdef fsm_doubles found
        if fsm_doubles_find(&self.index, NULL, &found):
            raise MemoryError
        return found.n_groups, found.n_entries, found.bytes

    def twins(self):
        """(row, first row that looks the same) of each entry that `doubles` counts, by row."""
        cdef fsm_doubles found
        cdef size_t i, first
        cdef size_t *twin_of = <size_t *>malloc((self.index.n_entries or 1) * sizeof(size_t))
        cdef list out = []
        if twin_of == NULL or fsm_doubles_find(&self.index, twin_of, &found):
            free(twin_of)
            raise MemoryError
        for i in range(self.index.n_entries):
            first = twin_of[i]
            if first != i and (self.index.shard[i] != self.index.shard[first]
                               or self.index.offset[i] != self.index.offset[first]):
                out.append((i, first))
        free(twin_of)
        return out

    def key(self, size_t i):
        """The key of entry i, as bytes."""
        if i >= self.index.n_entries:
            raise IndexError(i)
        cdef uint64_t start = self.index.key_at[i]
        return (<char *>self.index.keys)[start:self.index.key_at[i + 1]]

    def entry(self, size_t i):
        """(dtype, shape or None, shard, offset, size, masked crc32c, slices) of entry i."""
        if i >= self.index.n_entries:
            raise IndexError(i)
        cdef uint64_t d
        shape = None
        if not self.index.flags[i] & FSM_ENTRY_UNKNOWN_RANK:
            shape = tuple([
                self.index.dims[d]
                for d in range(self.index.dims_at[i], self.index.dims_at[i + 1])
            ])
        return (self.index.dtype[i], shape, self.index.shard[i], self.index.offset[i],
                self.index.size[i], self.index.crc32c[i], self.index.n_slices[i])

    def header(self):
        """(num_shards, endianness, has a version, producer, min_consumer, refuses this
        version) as the header says; zeros where it says nothing."""
        cdef fsm_bundle_header *h = &self.index.header
        return (h.num_shards, h.endianness, h.has_version, h.producer, h.min_consumer,
                h.refuses_this_version)

    def sizes(self):
        """The bytes that each entry says it takes, as a list."""
        cdef size_t i
        return [self.index.size[i] for i in range(self.index.n_entries)]

    def dtypes(self):
        """The DataType of each entry, as a list."""
        cdef size_t i
        return [self.index.dtype[i] for i in range(self.index.n_entries)]

    def shards(self):
        """The shards that entries lie in, as a set. An entry that lists slices lies in none."""
        cdef size_t i
        cdef set out = set()
        for i in range(self.index.n_entries):
            if not self.index.n_slices[i]:
                out.add(self.index.shard[i])
        return out

    def keys(self):
        """The key of every entry, as bytes, in file order."""
        cdef size_t i
        cdef uint64_t *at = self.index.key_at
        return [PyBytes_FromStringAndSize(<char *>self.index.keys + at[i], at[i + 1] - at[i])
                for i in range(self.index.n_entries)]

    def names(self):
        """As `keys`, decoded: bytes that are no UTF-8 are surrogates, as in file names."""
        cdef size_t i
        cdef uint64_t *at = self.index.key_at
        return [PyUnicode_DecodeUTF8(<char *>self.index.keys + at[i], at[i + 1] - at[i],
                                     "surrogateescape")
                for i in range(self.index.n_entries)]

    def value(self, size_t i):
        """The bytes of entry i, a BundleEntryProto, as they are stored."""
        if i >= self.index.n_entries:
            raise IndexError(i)
        return PyBytes_FromStringAndSize(<char *>self.index.values + self.index.stored_at[i],
                                         self.index.value_size[i])

    def header_value(self):
        """The bytes of the header, a BundleHeaderProto; b"" when there is none."""
        if not self.index.header.present:
            return b""
        return PyBytes_FromStringAndSize(<char *>self.index.values + self.index.header_at,
                                         self.index.header_size)

    def slices(self, size_t i):
        """The slices that entry i lists: of each its extents, (start, length) for every
        dimension, length -1 for all of it. Empty for a tensor that is not partitioned."""
        if i >= self.index.n_entries:
            raise IndexError(i)
        cdef fsm_array extents, ends
        cdef fsm_error e
        cdef fsm_status s
        cdef size_t k, d, start = 0
        cdef fsm_extent *extent
        cdef const uint8_t *p = self.index.values + self.index.stored_at[i]
        cdef list out = []
        memset(&extents, 0, sizeof(extents))
        memset(&ends, 0, sizeof(ends))
        try:
            s = fsm_bundle_slices_parse(&extents, &ends, &p, p + self.index.value_size[i])
            if s:
                e = fsm_error(s, 0, 0, 0)
                _raise(&e)
            extent = <fsm_extent *>extents.items
            for k in range(ends.n):
                out.append(tuple([(extent[d].start, extent[d].length)
                                  for d in range(start, (<size_t *>ends.items)[k])]))
                start = (<size_t *>ends.items)[k]
        finally:
            free(extents.items)
            free(ends.items)
        return out


def slice_key(bytes name not None, extents):
    """The key under which the slice of a tensor is stored.

    Args:
        extents: (start, length) for each dimension, as the tensor's entry lists them.
    """
    cdef size_t rank = len(extents), i, n
    cdef fsm_extent *extent = <fsm_extent *>malloc((rank or 1) * sizeof(fsm_extent))
    cdef size_t most = fsm_slice_key_max(PyBytes_GET_SIZE(name), rank)
    if extent == NULL:
        raise MemoryError
    try:
        for i in range(rank):
            extent[i].start, extent[i].length = extents[i]
        out = PyBytes_FromStringAndSize(NULL, most)
        n = fsm_slice_key_write(<uint8_t *>PyBytes_AS_STRING(out),
                                <const uint8_t *>PyBytes_AS_STRING(name),
                                PyBytes_GET_SIZE(name), extent, rank)
    finally:
        free(extent)
    return out[:n]


def parse_slice_key(bytes key not None):
    """(name, extents) of the slice that a key is for, or None: then it is no slice's."""
    cdef size_t n = PyBytes_GET_SIZE(key), i
    cdef fsm_slice_name parts
    cdef uint8_t *name = <uint8_t *>malloc(n or 1)
    cdef fsm_extent *extent = <fsm_extent *>malloc((n // 2 or 1) * sizeof(fsm_extent))
    try:
        if name == NULL or extent == NULL:
            raise MemoryError
        if fsm_slice_key_parse(<const uint8_t *>PyBytes_AS_STRING(key), n, name, extent, &parts):
            return None
        return (<char *>name)[:parts.name_size], tuple([
            (extent[i].start, extent[i].length) for i in range(parts.rank)
        ])
    finally:
        free(name)
        free(extent)


def string_elements(Source source not None, uint64_t offset, uint64_t size, uint64_t n,
                    *, bint variant=False):
    """The n elements of a string tensor's bytes, or of a variant's, as a list of bytes.

    Checksums are not looked at. Raises CoreError, offset and all, where a length goes
    past the size; the size is held against the source first.
    """
    cdef bytes stored = source.read(offset, size)
    cdef fsm_strings strings
    cdef fsm_error e
    cdef fsm_status s = FSM_OK
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(stored)
    cdef size_t length
    cdef list out = []
    if variant:
        fsm_variants_begin(&strings, p, size)
    else:
        s = fsm_strings_begin(&strings, p, size, n, &e)
    for _ in range(0 if s else n):
        if variant:
            s = fsm_variants_next(&strings, &p, &length, &e)
            if s:
                break
        else:
            fsm_strings_next(&strings, &p, &length)
        out.append(PyBytes_FromStringAndSize(<const char *>p, length))
    if s:
        e.offset += offset
        _raise(&e)
    return out


# --- a checkpoint's object graph ---

cdef str _text(const char *message, fsm_text text):
    try:
        return PyUnicode_DecodeUTF8(message + text.at, text.size, NULL)
    except UnicodeDecodeError as e:
        raise CoreError("UTF8", text.at + <uint64_t>e.start, 0, 0) from None


cdef class ObjectGraph:
    """A TrackableObjectGraph, as tables in the order of its objects.

    Attributes:
        n_nodes: The objects; they are numbered from 0.
        first_child: Where the children of each object begin; one more than objects.
        child_nodes, child_names: Of each child its number, any int32, and its name.
        values: (object, name, the variable's full name, checkpoint key) of each tensor.
        slots: (object, name, of which object, object) of each slot variable.
        savers: (object, name) of what a registered saver wrote.

    Raises CoreError where the wire format is broken, a string is not UTF-8, or there is
    more than the core takes: then "LIMIT".
    """
    cdef readonly size_t n_nodes
    cdef readonly list first_child, child_nodes, child_names, values, slots, savers

    def __init__(self, bytes message not None):
        cdef fsm_tracked tables
        cdef fsm_error e
        cdef fsm_status s
        cdef const char *p = PyBytes_AS_STRING(message)
        cdef size_t n = PyBytes_GET_SIZE(message)
        memset(&tables, 0, sizeof(tables))
        try:
            with nogil:
                s = fsm_tracked_parse(&tables, <const uint8_t *>p, n, &e)
            if s:
                _raise(&e)
            self._fill(p, &tables)
        finally:
            fsm_tracked_free(&tables)

    cdef int _fill(self, const char *p, fsm_tracked *tables) except -1:
        cdef fsm_tracked_child *child = <fsm_tracked_child *>tables.children.items
        cdef fsm_tracked_value *value = <fsm_tracked_value *>tables.values.items
        cdef fsm_tracked_slot *slot = <fsm_tracked_slot *>tables.slots.items
        cdef fsm_tracked_saver *saver = <fsm_tracked_saver *>tables.savers.items
        cdef size_t i, node
        self.n_nodes = tables.n_nodes
        self.first_child, i = [], 0
        for node in range(self.n_nodes + 1):
            while i < tables.children.n and child[i].owner < node:
                i += 1
            self.first_child.append(i)
        self.child_nodes = [child[i].node for i in range(tables.children.n)]
        self.child_names = [_text(p, child[i].name) for i in range(tables.children.n)]
        self.values = [
            (value[i].owner, _text(p, value[i].name), _text(p, value[i].full_name),
             _text(p, value[i].key))
            for i in range(tables.values.n)
        ]
        self.slots = [
            (slot[i].owner, _text(p, slot[i].name), slot[i].of, slot[i].node)
            for i in range(tables.slots.n)
        ]
        self.savers = [(saver[i].owner, _text(p, saver[i].name)) for i in range(tables.savers.n)]
        return 0


# --- the bytes of tensors ---

# fsm_tensor_kind and fsm_tensor_status, in their order.
DENSE, BOOL, STRING, VARIANT = range(4)
cdef tuple TENSOR_STATUS = (
    None, "CRC", "LENGTHS", "VARINT", "LENGTH_CRC", "ELEMENT_CRC", "OUTSIDE", "UNREAD"
)


def check_tensors(Source source not None, list rows not None, *, bint big_endian=False,
                  size_t window=1 << 18):
    """Hold the bytes of tensors against their entries: all in one call without the GIL.

    Args:
        source: The shard.
        rows: (offset, size, elements, masked crc32c, kind) of each, best in ascending
            order: what lies close together is read in one go. Kind is DENSE, BOOL,
            STRING or VARIANT.
        window: How many bytes are read at a time.

    Returns:
        For each row (status, crc32c, place, expected, seen, odd, odd_at): status is None
        or a name of csrc/fsm_tensor.h, which explains the rest.
    """
    cdef size_t n = len(rows), i
    cdef fsm_tensor *tensors = <fsm_tensor *>malloc((n or 1) * sizeof(fsm_tensor))
    cdef fsm_tensor_result *found = <fsm_tensor_result *>malloc(
        (n or 1) * sizeof(fsm_tensor_result))
    cdef uint8_t *buffer = <uint8_t *>malloc(window)
    try:
        if tensors == NULL or found == NULL or buffer == NULL:
            raise MemoryError
        for i in range(n):
            offset, size, elements, crc, kind = rows[i]
            tensors[i] = fsm_tensor(offset, size, elements, crc, kind)
        with nogil:
            fsm_tensors_check(&source.src, tensors, n, big_endian, buffer, window, found)
        return [
            (TENSOR_STATUS[found[i].status], found[i].crc32c, found[i].place,
             found[i].expected, found[i].seen, found[i].n_odd, found[i].odd_at)
            for i in range(n)
        ]
    finally:
        free(tensors)
        free(found)
        free(buffer)


def encode_strings(list elements not None):
    """(bytes, masked crc32c) of a string tensor with these elements, as a shard has it.

    Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc WriteStringTensor (2.21).
    """
    cdef size_t n = 4, length
    cdef uint8_t length_bytes[8]
    cdef uint8_t *p
    cdef uint32_t crc = 0, masked
    cdef bytes element
    for element in elements:
        length = PyBytes_GET_SIZE(element)
        n += fsm_varint_size(length) + length
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    p = <uint8_t *>PyBytes_AS_STRING(out)
    for element in elements:
        length = PyBytes_GET_SIZE(element)
        p += fsm_write_varint(p, length)
        # The checksum is over each length as a number of four bytes, or of eight.
        if length <= 0xffffffff:
            fsm_put32(length_bytes, length)
        else:
            fsm_put64(length_bytes, length)
        crc = fsm_crc32c(crc, length_bytes, 4 if length <= 0xffffffff else 8)
    masked = fsm_crc32c_mask(crc)
    fsm_put32(p, masked)
    crc = fsm_crc32c(crc, p, 4)
    p += 4
    for element in elements:
        length = PyBytes_GET_SIZE(element)
        memcpy(p, PyBytes_AS_STRING(element), length)
        crc = fsm_crc32c(crc, p, length)
        p += length
    return out, fsm_crc32c_mask(crc)


# --- a bundle rewritten ---

def patch_entry(bytes value not None, int64_t size, uint32_t crc32c, *, bint dense=False):
    """An entry's bytes for other content, all else as it was.

    Args:
        value: A BundleEntryProto, as stored.
        size, crc32c: Of the new bytes; the checksum masked.
        dense: Take the list of slices out.
    """
    cdef fsm_entry_patch patch
    cdef size_t n = PyBytes_GET_SIZE(value), n_out = 0
    cdef bytes out = PyBytes_FromStringAndSize(NULL, FSM_PATCHED_MAX(n))
    cdef fsm_error e
    patch.what = FSM_SET_CONTENT | (FSM_DROP_SLICES if dense else 0)
    patch.size = size
    patch.crc32c = crc32c
    cdef fsm_status s = fsm_entry_patched(
        <const uint8_t *>PyBytes_AS_STRING(value), n, &patch,
        <uint8_t *>PyBytes_AS_STRING(out), &n_out)
    if s:
        e = fsm_error(s, 0, 0, 0)
        _raise(&e)
    return out[:n_out]


def new_entry(int32_t dtype, shape, int64_t size, uint32_t crc32c):
    """A BundleEntryProto as TensorFlow would write it, without a place.

    Args:
        shape: The dimensions, none negative.
        crc32c: Masked.
    """
    cdef size_t n = len(shape), i
    cdef int64_t *dims = <int64_t *>malloc((n or 1) * sizeof(int64_t))
    if dims == NULL:
        raise MemoryError
    try:
        for i in range(n):
            dims[i] = shape[i]
        out = PyBytes_FromStringAndSize(NULL, fsm_entry_size(dtype, dims, n))
        fsm_entry_write(<uint8_t *>PyBytes_AS_STRING(out), dtype, dims, n)
    finally:
        free(dims)
    return patch_entry(out, size, crc32c)


cdef class Layout:
    """The shards of a bundle laid out anew, and the index that goes with them.

    Args:
        keep: A byte for each entry of the index; 0: it goes.
        shards: (id, size of the file) of each shard in which entries lie, by id.
        same_as: (row, row whose bytes it gets) of entries that are to share bytes.
        fresh: Bytes that no kept entry has: (shard, offset, size, old). They go before
            what begins behind that place; with ``old`` they are the bytes that lie there.
        merge: All into one shard.

    Attributes:
        n_shards: Of the new bundle.

    Raises CoreError "INVALID" for an entry that lies outside its shard; its offset is the
    row, and ``need`` where the entry ends.
    """
    cdef fsm_layout layout
    cdef BundleIndex index
    cdef bytes keep
    cdef size_t n_fresh
    cdef readonly list shards

    def __cinit__(self):
        memset(&self.layout, 0, sizeof(self.layout))

    def __init__(self, BundleIndex index not None, bytes keep not None, list shards not None, *,
                 same_as=(), fresh=(), bint merge=False):
        cdef size_t n = index.index.n_entries, n_shards = len(shards), i, row, other
        cdef fsm_error e
        cdef fsm_status s
        cdef uint64_t *same = NULL
        cdef fsm_layout_fresh *new = NULL
        cdef fsm_layout_shard *old = NULL
        cdef const uint8_t *kept = <const uint8_t *>PyBytes_AS_STRING(keep)
        if <size_t>PyBytes_GET_SIZE(keep) != n:
            raise ValueError("keep: not a byte for each entry")
        fsm_layout_free(&self.layout)
        self.index = index
        self.keep = keep
        self.n_fresh = len(fresh)
        try:
            new = <fsm_layout_fresh *>malloc((self.n_fresh or 1) * sizeof(fsm_layout_fresh))
            old = <fsm_layout_shard *>malloc((n_shards or 1) * sizeof(fsm_layout_shard))
            same = <uint64_t *>malloc((n or 1) * sizeof(uint64_t)) if same_as else NULL
            if new == NULL or old == NULL or (same_as and same == NULL):
                raise MemoryError
            for i in range(self.n_fresh):
                shard, offset, size, is_old = fresh[i]
                new[i] = fsm_layout_fresh(shard, offset, size, is_old)
            for i in range(n_shards):
                shard, size = shards[i]
                old[i] = fsm_layout_shard(shard, FSM_NO_SHARD, size, False)
            for i in range(n if same_as else 0):
                same[i] = i
            for row, other in same_as:
                if row >= n or other >= n:
                    raise IndexError(row)
                same[row] = other
            with nogil:
                s = fsm_layout_make(&self.layout, &index.index, kept, same, new, self.n_fresh, old,
                                    n_shards, merge, &e)
            if s:
                _raise(&e)
            # (old id, new number or None, whether it changes)
            self.shards = [
                (old[i].id, None if old[i].to == FSM_NO_SHARD else old[i].to,
                 bool(old[i].touched))
                for i in range(n_shards)
            ]
        finally:
            free(new)
            free(old)
            free(same)

    def __dealloc__(self):
        fsm_layout_free(&self.layout)

    @property
    def n_shards(self):
        return self.layout.n_shards

    def runs(self):
        """(new shard, old shard's id or None, origin, size) of each stretch, in the order of
        the new shards' bytes; without an old shard, origin tells which of the fresh."""
        cdef fsm_layout_run *run = <fsm_layout_run *>self.layout.runs.items
        cdef size_t i
        return [
            (run[i].to, None if run[i].from_ == FSM_NO_SHARD else self.shards[run[i].from_][0],
             run[i].origin, run[i].size)
            for i in range(self.layout.runs.n)
        ]

    def place(self, size_t row):
        """(shard, offset) that entry ``row`` has now."""
        if row >= self.index.index.n_entries:
            raise IndexError(row)
        return self.layout.places[row].shard, self.layout.places[row].offset

    def write(self, added=()):
        """The index, as bytes.

        Args:
            added: (key, value without a place, which of the fresh or None) of each new
                entry, by key; one may take the place of an entry that is not kept.

        Raises CoreError "ORDER" where keys do not ascend.
        """
        cdef size_t n = len(added), i
        cdef fsm_table_writer w
        cdef fsm_error e
        cdef fsm_status s
        cdef bytes key, value
        cdef const uint8_t *keep = <const uint8_t *>PyBytes_AS_STRING(self.keep)
        cdef fsm_layout_entry *new = <fsm_layout_entry *>malloc((n or 1) * sizeof(fsm_layout_entry))
        if new == NULL:
            raise MemoryError
        memset(&w, 0, sizeof(w))
        try:
            for i in range(n):
                key, value, which = added[i]
                if which is not None and which >= self.n_fresh:
                    raise IndexError(which)
                new[i].key = <const uint8_t *>PyBytes_AS_STRING(key)
                new[i].n_key = PyBytes_GET_SIZE(key)
                new[i].value = <const uint8_t *>PyBytes_AS_STRING(value)
                new[i].n_value = PyBytes_GET_SIZE(value)
                new[i].fresh = FSM_NO_ROW if which is None else which
            with nogil:
                s = fsm_layout_write(&w, &self.layout, &self.index.index, keep, new, n, &e)
            if s:
                _raise(&e)
            return PyBytes_FromStringAndSize(<char *>w.out.items, w.out.n)
        finally:
            fsm_table_writer_free(&w)
            free(new)


# --- a plan's splices ---

def rewrite(Source source not None, bytearray splices not None, bytearray fields not None,
            bytearray data not None):
    """A source with splices worked in, as a new source.

    Args:
        splices: Packed native records (start, end, data, size, field, depth), 8 bytes each,
            as csrc/fsm_rewrite.h explains them.
        fields: Packed native records (length_at, start, end, parent, 0).
        data: The new bytes.

    Raises CoreError "INVALID" where two splices overlap. The caller has checked that each
    splice lies in its field and the source, and each field in its parent.
    """
    cdef size_t n_splices = len(splices) // sizeof(fsm_splice)
    cdef size_t n_fields = len(fields) // sizeof(fsm_enclosing)
    cdef bytearray rows = splices, around = fields
    cdef size_t n_pieces = fsm_rewrite_max_pieces(&source.src, n_splices, n_fields)
    cdef uint64_t n_patch = fsm_rewrite_max_patch(&source.src, len(data), n_fields)
    cdef PyObject *pieces = NULL
    cdef PyObject *patch = NULL
    cdef const uint8_t *new = <const uint8_t *>PyByteArray_AS_STRING(data)
    cdef fsm_splice *splice = <fsm_splice *>PyByteArray_AS_STRING(rows)
    cdef fsm_enclosing *field = <fsm_enclosing *>PyByteArray_AS_STRING(around)
    cdef fsm_piece *piece
    cdef uint8_t *byte
    cdef fsm_error e
    cdef fsm_status s
    # A plan of a million splices takes a hundred megabytes: nothing is copied needlessly.
    if not fsm_rewrite_in_order(splice, n_splices, field, n_fields):
        rows, around = bytearray(splices), bytearray(fields)
        splice = <fsm_splice *>PyByteArray_AS_STRING(rows)
        field = <fsm_enclosing *>PyByteArray_AS_STRING(around)
    try:
        pieces = new_bytes(NULL, n_pieces * sizeof(fsm_piece))
        patch = new_bytes(NULL, n_patch)
        piece = <fsm_piece *>PyBytes_AS_STRING(<object>pieces)
        byte = <uint8_t *>PyBytes_AS_STRING(<object>patch)
        with nogil:
            s = fsm_rewrite(&source.src, splice, n_splices, field, n_fields, new,
                            piece, &n_pieces, byte, &n_patch, &e)
        if s:
            _raise(&e)
        _PyBytes_Resize(&pieces, n_pieces * sizeof(fsm_piece))
        _PyBytes_Resize(&patch, n_patch)
        return Source(<bytes>pieces, <bytes>patch, source.keep)
    finally:
        Py_XDECREF(pieces)
        Py_XDECREF(patch)


# --- system calls that os lacks ---

def exchange(bytes a not None, bytes b not None):
    """Let two paths change places in one step. Returns 0, or an errno."""
    cdef const char *first = PyBytes_AS_STRING(a)
    cdef const char *second = PyBytes_AS_STRING(b)
    cdef int code
    with nogil:
        code = fsm_sys_exchange(first, second)
    return code


def allocate(int fd, uint64_t size):
    """Set disk blocks aside for a file of a known size. Returns 0, or an errno."""
    cdef int code
    with nogil:
        code = fsm_sys_allocate(fd, size)
    return code


def begin_sync(int fd, uint64_t offset, uint64_t n):
    """Let the disk begin with a part of a file, without waiting. Returns 0, or an errno."""
    cdef int code
    with nogil:
        code = fsm_sys_begin_sync(fd, offset, n)
    return code
