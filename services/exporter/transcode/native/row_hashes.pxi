# Keys and hashes of rows, and the sorted entries that manifests are made of; the layout is that of row_hashes.py.

cdef enum:
    RECORD_BYTES = 32
    ENTRY_BYTES = 36
    MAX_KEY_BYTES = 4096
    CELL_BYTES = 5  # of a cell of a key, before its text

cdef struct KeyField:
    Span* path
    int depth
    bint is_id  # named `id`: a document without such a field has `_id` in its place


cdef int find_value(
    const unsigned char* at, Py_ssize_t size, KeyField* field, int depth, unsigned char* kind, const unsigned char** value,
    Py_ssize_t* length
) noexcept nogil:
    """The value at a path of an object; its kind is 0 where there is none. Duplicate keys are left to the reference."""
    cdef const unsigned char* end = at + size - 1
    cdef Span* name = &field.path[depth]
    cdef Py_ssize_t of_key, of_value
    cdef unsigned char found
    cdef bint is_id = field.is_id and depth == 0
    kind[0] = 0
    at += 4
    while at < end:
        found = at[0]
        at += 1
        of_key = key_size(at, end)
        if of_key < 0:
            return FALLBACK
        of_value = size_of(found, at + of_key + 1, end)
        if of_value < 0:
            return FALLBACK
        if of_key == name.size and memcmp(at, name.at, of_key) == 0:
            kind[0], value[0], length[0] = found, at + of_key + 1, of_value
            break
        if is_id and of_key == 3 and memcmp(at, b"_id", 3) == 0:  # unless there is an `id`
            kind[0], value[0], length[0] = found, at + of_key + 1, of_value
        at += of_key + 1 + of_value
    if kind[0] and depth + 1 < field.depth:
        if kind[0] != OBJECT:
            kind[0] = 0
            return OK
        return find_value(value[0], length[0], field, depth + 1, kind, value, length)
    return OK


cdef int put_row_key(
    Out* out, KeyField* fields, int count, const unsigned char* at, Py_ssize_t size
) noexcept nogil:
    """The key of a document, after its size; FALLBACK if the reference has to find it."""
    cdef size_t begin = out.size, cell
    cdef unsigned char kind
    cdef const unsigned char* value
    cdef Py_ssize_t length
    cdef int number, written
    if room(out, 4) == NULL:
        return OK
    out.size += 4
    for number in range(count):
        if find_value(at, size, &fields[number], 0, &kind, &value, &length):
            return FALLBACK
        if kind == INT32 or kind == INT64:
            put_byte(out, b"n")
        elif (kind == TEXT or kind == BINARY) and length > 5 or kind == OBJECT_ID:
            put_byte(out, b"s")
        else:
            return FALLBACK
        cell = out.size
        if room(out, 4) == NULL:
            return OK
        out.size += 4
        if put_plain(out, kind, value, length):
            return FALLBACK
        if out.failed:
            return OK
        written = <int> (out.size - cell - 4)
        memcpy(out.bytes + cell, &written, 4)
    written = <int> (out.size - begin - 4)
    if written > MAX_KEY_BYTES:
        return FALLBACK
    memcpy(out.bytes + begin, &written, 4)
    return OK


cdef inline Py_ssize_t entry_size(const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Bytes of an entry; -1 if it is not complete."""
    cdef unsigned int size
    if end - at < ENTRY_BYTES:
        return -1
    memcpy(&size, at + RECORD_BYTES, 4)
    return -1 if <Py_ssize_t> size > end - at - ENTRY_BYTES else ENTRY_BYTES + <Py_ssize_t> size


cdef int by_key(const void* one, const void* other) noexcept nogil:
    return memcmp((<const unsigned char**> one)[0], (<const unsigned char**> other)[0], HASH_BYTES)


cdef Py_ssize_t count_entries(bytes entries) except -1:
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(entries)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(entries)
    cdef Py_ssize_t size, count = 0
    while at < end:
        size = entry_size(at, end)
        if size < 0:
            raise ValueError("an entry of a manifest is damaged")
        at += size
        count += 1
    return count


def sorted_entries(bytes entries not None):
    """As `RowHashes.sorted_entries`."""
    cdef Py_ssize_t count = count_entries(entries), number, size
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(entries)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(entries)
    cdef const unsigned char** places = <const unsigned char**> malloc((count + 1) * sizeof(char*))
    cdef bytes result = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(entries))
    cdef char* out = PyBytes_AS_STRING(result)
    if places == NULL:
        raise MemoryError
    with nogil:
        for number in range(count):
            places[number] = at
            at += entry_size(at, end)
        qsort(places, count, sizeof(char*), by_key)
        for number in range(count):
            size = entry_size(places[number], end)
            memcpy(out, places[number], size)
            out += size
        free(places)
    return result


def grouped_entries(bytes entries not None):
    """As `RowHashes.grouped_entries`."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(entries)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(entries)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(entries))
    cdef char* out = PyBytes_AS_STRING(result)
    cdef Py_ssize_t[257] places
    cdef Py_ssize_t size
    cdef int byte
    count_entries(entries)
    memset(places, 0, sizeof(places))
    with nogil:
        while at < end:
            size = entry_size(at, end)
            places[at[0] + 1] += size
            at += size
        for byte in range(256):
            places[byte + 1] += places[byte]
    starts = [places[byte] for byte in range(257)]
    at = <const unsigned char*> PyBytes_AS_STRING(entries)
    with nogil:
        while at < end:
            size = entry_size(at, end)
            memcpy(out + places[at[0]], at, size)
            places[at[0]] += size
            at += size
    return result, starts


def split_entries(bytes entries not None):
    """As `RowHashes.split`."""
    cdef Py_ssize_t count = count_entries(entries), size
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(entries)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(entries)
    cdef const unsigned char* last = NULL
    cdef bytes records = PyBytes_FromStringAndSize(NULL, count * RECORD_BYTES)
    cdef bytes keys = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(entries) - count * RECORD_BYTES)
    cdef char* record = PyBytes_AS_STRING(records)
    cdef char* key = PyBytes_AS_STRING(keys)
    repeated = b""
    while at < end:
        size = entry_size(at, end)
        memcpy(record, at, RECORD_BYTES)
        memcpy(key, at + RECORD_BYTES, size - RECORD_BYTES)
        if last != NULL and not repeated and memcmp(last, at, HASH_BYTES) == 0:
            repeated = PyBytes_FromStringAndSize(<const char*> at + ENTRY_BYTES, size - ENTRY_BYTES)
        last = at
        record += RECORD_BYTES
        key += size - RECORD_BYTES
        at += size
    return records, keys, repeated


cdef inline uint64_t first_word(const unsigned char* hash) noexcept nogil:
    """The first 8 bytes as a number in the order of the bytes."""
    cdef uint64_t word = 0
    cdef int at
    for at in range(8):
        word = word << 8 | hash[at]
    return word


cdef Py_ssize_t place_of(const unsigned char* records, Py_ssize_t count, const unsigned char* key) noexcept nogil:
    """The first record whose hash of the key is not less. The hashes are spread evenly, so the place can be estimated."""
    cdef Py_ssize_t low, high, middle, step = 64
    low = <Py_ssize_t> (<double> first_word(key) / 18446744073709551616.0 * count)
    low = high = 0 if low < 0 else count if low > count else low
    while low > 0 and memcmp(records + (low - 1) * RECORD_BYTES, key, HASH_BYTES) >= 0:
        high = low - 1
        low = low - step if low > step else 0
        step *= 2
    step = 64
    while high < count and memcmp(records + high * RECORD_BYTES, key, HASH_BYTES) < 0:
        low = high + 1
        high = high + step if count - high > step else count
        step *= 2
    while low < high:
        middle = low + (high - low) // 2
        if memcmp(records + middle * RECORD_BYTES, key, HASH_BYTES) < 0:
            low = middle + 1
        else:
            high = middle
    return low


def sift(const unsigned char[::1] records not None, bytearray seen not None, bytes entries not None):
    """As `RowHashes.sift`."""
    cdef Py_ssize_t count = records.shape[0] // RECORD_BYTES, rows = count_entries(entries), place
    cdef const unsigned char* known = &records[0] if count else NULL
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(entries)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(entries)
    cdef const unsigned char* record
    cdef bytes found = PyBytes_FromStringAndSize(NULL, rows)
    cdef char* out = PyBytes_AS_STRING(found)
    cdef unsigned char[::1] marks = seen
    if marks.shape[0] < count:
        raise ValueError("there is not a mark for each record")
    with nogil:
        while at < end:
            place = place_of(known, count, at)
            record = known + place * RECORD_BYTES
            if place == count or memcmp(record, at, HASH_BYTES) != 0:
                out[0] = 2
            elif marks[place]:
                out[0] = 3
            else:
                marks[place] = 1
                out[0] = 0 if memcmp(record, at, RECORD_BYTES) == 0 else 1
            out += 1
            at += entry_size(at, end)
    return found


def siphash_of(bytes content not None):
    """The hash of some content; tests compare it with that in Python."""
    cdef unsigned char[16] digest
    siphash(<const unsigned char*> PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), digest)
    return digest[:16]
