# Elements of BSON documents: the size of a value is checked against the available bytes before any of it is read.
#
# A document that is damaged or contains a rare type is passed to the reference as a whole, which decodes it or raises.

cdef enum:
    OK = 0
    UNKNOWN = 1  # a key without a node, or a leaf whose column is not decided yet
    FALLBACK = 2  # the reference has to write this document
    OTHER_ROOT = 3  # the root was guessed wrong: the document has, or lacks, a field called `id`
    EMPTY = 4  # a cell without content
    SKIPPED = 5  # the document has no row
    MAX_DEPTH = 100

cdef enum:
    DOUBLE = 1
    TEXT = 2
    OBJECT = 3
    LIST = 4
    BINARY = 5
    UNDEFINED = 6
    OBJECT_ID = 7
    BOOL = 8
    DATE = 9
    NULL_VALUE = 10
    INT32 = 16
    TIMESTAMP = 17
    INT64 = 18
    DECIMAL = 19
    NUMBER_TEXT = 200  # not of BSON: a number formatted as text


cdef inline int int32_at(const unsigned char* at) noexcept nogil:
    cdef int value
    memcpy(&value, at, 4)
    return value


cdef inline int64_t int64_at(const unsigned char* at) noexcept nogil:
    cdef int64_t value
    memcpy(&value, at, 8)
    return value


cdef inline double double_at(const unsigned char* at) noexcept nogil:
    cdef double value
    memcpy(&value, at, 8)
    return value


cdef inline Py_ssize_t size_of(unsigned char kind, const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Bytes of a value; -1 if it is not complete before `end`, or if the reference has to read it."""
    cdef Py_ssize_t there = end - at, size
    if kind == TEXT:
        if there < 5:
            return -1
        size = <Py_ssize_t> int32_at(at) + 4
        return -1 if size < 5 or size > there or at[size - 1] else size
    if kind == OBJECT or kind == LIST:
        if there < 5:
            return -1
        size = int32_at(at)
        return -1 if size < 5 or size > there or at[size - 1] else size
    if kind == DOUBLE or kind == DATE or kind == INT64 or kind == TIMESTAMP:
        size = 8
    elif kind == INT32:
        size = 4
    elif kind == BOOL:
        size = 1
        if there >= 1 and at[0] > 1:
            return -1
    elif kind == NULL_VALUE or kind == UNDEFINED:
        size = 0
    elif kind == OBJECT_ID:
        size = 12
    elif kind == DECIMAL:
        size = 16
    elif kind == BINARY:
        if there < 5 or int32_at(at) < 0 or at[4] == 2:
            return -1
        size = <Py_ssize_t> int32_at(at) + 5
    else:
        return -1
    return -1 if size > there else size


cdef inline Py_ssize_t key_size(const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Bytes of a key without its NUL; -1 if there is no NUL."""
    cdef const unsigned char* nul = <const unsigned char*> memchr(at, 0, end - at)
    return -1 if nul == NULL else nul - at


cdef int check(unsigned char kind, const unsigned char* at, Py_ssize_t size, int depth) noexcept nogil:
    """Check a value that is not written, as if it were read."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char below
    cdef Py_ssize_t length
    cdef int code
    if kind != OBJECT and kind != LIST:
        return OK
    if depth > MAX_DEPTH:
        return FALLBACK
    at += 4
    while at < end:
        below = at[0]
        at += 1
        length = key_size(at, end)
        if length < 0 or (length == 4 and memcmp(at, b"$ref", 4) == 0):
            return FALLBACK
        at += length + 1
        size = size_of(below, at, end)
        if size < 0:
            return FALLBACK
        code = check(below, at, size, depth + 1)
        if code:
            return code
        at += size
    return OK


cdef inline Py_ssize_t document_size(const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Bytes of the document at `at`; -1 if it is not complete."""
    return size_of(OBJECT, at, end)
