# Reduces objects whose keys are locales or currencies, in raw BSON; the rules are those of locales.py.

cdef struct Wanted:
    Span* codes  # the code itself, then those to use instead
    int count

cdef struct Reduction:
    Wanted* wanted
    int count
    bint currencies

cdef bint LANGUAGE[26 * 26]
cdef bint CURRENCY[26 * 26 * 26]


def _fill_codes():
    for code in codes.LANGUAGES:
        LANGUAGE[(ord(code[0]) - 97) * 26 + ord(code[1]) - 97] = True
    for code in codes.CURRENCIES:
        CURRENCY[((ord(code[0]) - 65) * 26 + ord(code[1]) - 65) * 26 + ord(code[2]) - 65] = True


_fill_codes()


cdef inline bint is_lower(unsigned char byte) noexcept nogil:
    return 97 <= byte <= 122


cdef inline bint is_upper(unsigned char byte) noexcept nogil:
    return 65 <= byte <= 90


cdef inline bint is_digit(unsigned char byte) noexcept nogil:
    return 48 <= byte <= 57


cdef inline bint is_dash(unsigned char byte) noexcept nogil:
    return byte == b"_" or byte == b"-"


cdef bint is_locale(const unsigned char* key, Py_ssize_t size) noexcept nogil:
    if size < 2 or not (is_lower(key[0]) and is_lower(key[1])) or not LANGUAGE[(key[0] - 97) * 26 + key[1] - 97]:
        return False
    key += 2
    size -= 2
    if size >= 5 and is_dash(key[0]) and is_upper(key[1]) and is_lower(key[2]) and is_lower(key[3]) and is_lower(key[4]):
        key += 5
        size -= 5
    if size == 3:
        return is_dash(key[0]) and is_upper(key[1]) and is_upper(key[2])
    if size == 4:
        return is_dash(key[0]) and is_digit(key[1]) and is_digit(key[2]) and is_digit(key[3])
    return size == 0


cdef bint is_currency(const unsigned char* key, Py_ssize_t size) noexcept nogil:
    if size != 3 or not (is_upper(key[0]) and is_upper(key[1]) and is_upper(key[2])):
        return False
    return CURRENCY[((key[0] - 65) * 26 + key[1] - 65) * 26 + key[2] - 65]


cdef inline bint is_span(Span* span, const unsigned char* key, Py_ssize_t size) noexcept nogil:
    return span.size == size and memcmp(span.at, key, size) == 0


cdef Py_ssize_t any_size(unsigned char kind, const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Bytes of a value of any type, also of those that `size_of` leaves to the reference; -1 if it is damaged."""
    cdef Py_ssize_t size, second
    if kind == DOUBLE or kind == DATE or kind == INT64 or kind == TIMESTAMP:
        size = 8
    elif kind == INT32:
        size = 4
    elif kind == BOOL:
        size = 1
    elif kind == NULL_VALUE or kind == UNDEFINED or kind == 127 or kind == 255:  # MaxKey, MinKey
        size = 0
    elif kind == OBJECT_ID:
        size = 12
    elif kind == DECIMAL:
        size = 16
    elif kind == 11:  # a regular expression: two texts that end with NUL
        size = key_size(at, end)
        if size < 0:
            return -1
        second = key_size(at + size + 1, end)
        return -1 if second < 0 else size + second + 2
    elif end - at < 4:
        return -1
    else:
        size = int32_at(at)
        if size < 0:
            return -1
        if kind == OBJECT or kind == LIST:
            if size < 5:
                return -1
        elif kind == TEXT or kind == 13 or kind == 14:  # code, symbol
            size += 4
        elif kind == 12:  # DBPointer
            size += 16
        elif kind == BINARY:
            size += 5
        elif kind != 15:  # code with scope
            return -1
    return -1 if size > end - at else size


cdef bint reduction_applies(Reduction* reduction, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    cdef const unsigned char* end = at + size - 1
    cdef const unsigned char* key
    cdef unsigned char kind
    cdef Py_ssize_t length, of_value
    cdef bint found = False
    cdef int one, other
    at += 4
    while at < end:
        kind = at[0]
        key = at + 1
        length = key_size(key, end)
        if length < 0:
            return False
        if not (is_currency(key, length) if reduction.currencies else is_locale(key, length)):
            return False
        found = found or length > 2
        for one in range(0 if found else reduction.count):
            for other in range(reduction.wanted[one].count):
                found = found or is_span(&reduction.wanted[one].codes[other], key, length)
        at = key + length + 1
        of_value = any_size(kind, at, end)
        if of_value < 0:
            return False
        at += of_value
    return found


cdef void put_size(Out* out, size_t begin) noexcept nogil:
    """End the object that begins at `begin`."""
    cdef int size
    put_byte(out, 0)
    size = <int> (out.size - begin)
    if not out.failed:
        memcpy(out.bytes + begin, &size, 4)


cdef int put_reduced(
    Out* out, Reduction* reductions, int count, unsigned char kind, const unsigned char* at, Py_ssize_t size, int depth,
    unsigned char* written_kind
) noexcept nogil:
    """A value with everything in it reduced; `written_kind` receives its type."""
    cdef int one
    written_kind[0] = kind
    if kind != OBJECT and kind != LIST:
        put(out, <const char*> at, size)
        return OK
    if kind == OBJECT:
        for one in range(count):
            if reduction_applies(&reductions[one], at, size):
                return put_chosen(out, reductions, count, &reductions[one], at, size, depth, written_kind)
    return put_reduced_object(out, reductions, count, at, size, depth)


cdef int put_reduced_object(
    Out* out, Reduction* reductions, int count, const unsigned char* at, Py_ssize_t size, int depth
) noexcept nogil:
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind, written
    cdef Py_ssize_t length
    cdef size_t begin = out.size, place
    if depth > MAX_DEPTH:
        return FALLBACK
    put(out, b"\0\0\0\0", 4)
    at += 4
    while at < end:
        kind = at[0]
        length = key_size(at + 1, end)
        if length < 0:
            return FALLBACK
        place = out.size
        put(out, <const char*> at, length + 2)
        at += length + 2
        length = any_size(kind, at, end)
        if length < 0 or put_reduced(out, reductions, count, kind, at, length, depth + 1, &written):
            return FALLBACK
        if not out.failed:
            out.bytes[place] = written
        at += length
    put_size(out, begin)
    return OK


cdef bint find_element(
    Span* code, const unsigned char* at, Py_ssize_t size, unsigned char* kind, Span* value
) noexcept nogil:
    """The first element with this key; False if there is none, or if it has no value."""
    cdef const unsigned char* end = at + size - 1
    cdef const unsigned char* key
    cdef Py_ssize_t length, of_value
    at += 4
    while at < end:
        kind[0] = at[0]
        key = at + 1
        length = key_size(key, end)
        at = key + length + 1
        of_value = any_size(kind[0], at, end)  # the object was checked before
        if is_span(code, key, length):
            value.at, value.size = at, of_value
            return not (kind[0] == NULL_VALUE or kind[0] == UNDEFINED or (kind[0] == TEXT and of_value == 5))
        at += of_value
    return False


cdef int put_chosen(
    Out* out, Reduction* reductions, int count, Reduction* reduction, const unsigned char* at, Py_ssize_t size, int depth,
    unsigned char* written_kind
) noexcept nogil:
    """The wanted elements of an object, or the value of the only wanted one."""
    cdef size_t begin = out.size, place
    cdef unsigned char kind, written
    cdef Span value
    cdef int one, other
    cdef bint single = reduction.count == 1
    written_kind[0] = NULL_VALUE if single else OBJECT
    if not single:
        put(out, b"\0\0\0\0", 4)
    for one in range(reduction.count):
        for other in range(reduction.wanted[one].count):
            if not find_element(&reduction.wanted[one].codes[other], at, size, &kind, &value):
                continue
            place = out.size
            if not single:
                put_byte(out, kind)
                put(out, <const char*> reduction.wanted[one].codes[0].at, reduction.wanted[one].codes[0].size)
                put_byte(out, 0)
            if put_reduced(out, reductions, count, kind, value.at, value.size, depth + 1, &written):
                return FALLBACK
            if single:
                written_kind[0] = written
            elif not out.failed:
                out.bytes[place] = written
            break
    if not single:
        put_size(out, begin)
    return OK


@cython.internal
cdef class BatchReducer:
    """Reduces batches of documents; damaged ones stay as they are."""

    cdef Reduction* reductions
    cdef int count
    cdef Out out
    cdef list kept

    def __init__(self, reductions):
        cdef int one, number, other
        self.kept, self.count = [], <int> len(reductions)
        self.reductions = <Reduction*> calloc(self.count + 1, sizeof(Reduction))
        if self.reductions == NULL or room(&self.out, 1) == NULL:
            raise MemoryError
        for one, reduction in enumerate(reductions):
            self.reductions[one].currencies = reduction.is_code is codes.is_currency
            self.reductions[one].count = <int> len(reduction.wanted)
            self.reductions[one].wanted = <Wanted*> calloc(len(reduction.wanted) + 1, sizeof(Wanted))
            if self.reductions[one].wanted == NULL:
                raise MemoryError
            for number, (code, others) in enumerate(reduction.wanted.items()):
                texts = [text.encode() for text in (code, *others)]
                self.kept.append(texts)
                self.reductions[one].wanted[number].count = <int> len(texts)
                self.reductions[one].wanted[number].codes = <Span*> calloc(len(texts), sizeof(Span))
                if self.reductions[one].wanted[number].codes == NULL:
                    raise MemoryError
                for other, text in enumerate(texts):
                    self.reductions[one].wanted[number].codes[other].at = <const unsigned char*> PyBytes_AS_STRING(text)
                    self.reductions[one].wanted[number].codes[other].size = PyBytes_GET_SIZE(text)

    def __dealloc__(self):
        cdef int one, number
        for one in range(self.count if self.reductions != NULL else 0):
            for number in range(self.reductions[one].count if self.reductions[one].wanted != NULL else 0):
                free(self.reductions[one].wanted[number].codes)
            free(self.reductions[one].wanted)
        free(self.reductions)
        free(self.out.bytes)

    def reduce(self, bytes batch not None):
        """The batch with reduced documents."""
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(batch)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(batch)
        cdef Py_ssize_t size
        cdef size_t begin
        self.out.size = 0
        with nogil:
            while at < end:
                size = int32_at(at) if end - at >= 4 else -1
                if size < 5 or size > end - at:
                    put(&self.out, <const char*> at, end - at)
                    break
                begin = self.out.size
                if put_reduced_object(&self.out, self.reductions, self.count, at, size, 0):
                    self.out.size = begin
                    put(&self.out, <const char*> at, size)
                at += size
        if self.out.failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(self.out.bytes, self.out.size)
