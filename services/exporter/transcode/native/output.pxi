# A byte buffer that grows without the GIL.

cdef struct Out:
    char* bytes
    size_t size
    size_t capacity
    bint failed  # out of memory: further output is dropped, and the batch ends with a MemoryError


cdef char* grow(Out* out, size_t more) noexcept nogil:
    cdef size_t capacity = out.capacity + (out.capacity >> 1) + more + 4096
    cdef char* moved = <char*> realloc(out.bytes, capacity)
    if moved == NULL:
        out.failed = True
        return NULL
    out.bytes, out.capacity = moved, capacity
    return moved + out.size


cdef inline char* room(Out* out, size_t more) noexcept nogil:
    """The end of the output, with room for `more` bytes after it; NULL if there is no memory."""
    if out.capacity - out.size >= more:
        return out.bytes + out.size
    return grow(out, more)


cdef inline void put(Out* out, const char* bytes, size_t size) noexcept nogil:
    cdef char* place = room(out, size)
    if place != NULL:
        memcpy(place, bytes, size)
        out.size += size


cdef inline void put_byte(Out* out, char byte) noexcept nogil:
    cdef char* place = room(out, 1)
    if place != NULL:
        place[0] = byte
        out.size += 1


cdef inline void put_repeated(Out* out, char byte, size_t times) noexcept nogil:
    cdef char* place = room(out, times)
    if place != NULL:
        memset(place, byte, times)
        out.size += times
