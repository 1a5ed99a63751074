# Values as JSON, in the same layout as values.py; the rules are in docs/values.md.

cdef void put_quoted(Out* out, const unsigned char* text, size_t size) noexcept nogil:
    """A JSON string of valid UTF-8; escapes what the json module escapes with ensure_ascii=False."""
    cdef size_t at, begin = 0
    cdef unsigned char byte
    cdef char* place
    put_byte(out, b'"')
    if needs_escape(text, size):
        for at in range(size):
            byte = text[at]
            if byte >= 0x20 and byte != 0x22 and byte != 0x5C:
                continue
            put(out, <const char*> text + begin, at - begin)
            begin = at + 1
            place = room(out, 6)
            if place == NULL:
                return
            place[0] = 0x5C
            place[1] = short_escape(byte)
            if place[1] == b"u":
                place[2] = place[3] = b"0"
                place[4], place[5] = HEX[byte >> 4], HEX[byte & 15]
                out.size += 6
            else:
                out.size += 2
    put(out, <const char*> text + begin, size - begin)
    put_byte(out, b'"')


cdef inline char short_escape(unsigned char byte) noexcept nogil:
    if byte == 0x22 or byte == 0x5C:
        return byte
    if byte == 0x0A:
        return b"n"
    if byte == 0x0D:
        return b"r"
    if byte == 0x09:
        return b"t"
    if byte == 0x08:
        return b"b"
    return b"f" if byte == 0x0C else b"u"


cdef inline void put_break(Out* out, int indent) noexcept nogil:
    """A line break and the indentation; nothing in compact JSON (NONE)."""
    if indent != NONE:
        put_byte(out, b"\n")
        put_repeated(out, b" ", indent)


cdef int put_json(
    Out* out, Tree* tree, int node, unsigned char kind, const unsigned char* at, Py_ssize_t size, int depth, int indent
) noexcept nogil:
    """A value as JSON; `indent` is the indentation of its first line, NONE for compact JSON."""
    if kind == OBJECT:
        return put_json_object(out, tree, node, at, size, depth, indent)
    if kind == LIST:
        return put_json_list(out, tree, node, at, size, depth, indent)
    if kind == TEXT or kind == NUMBER_TEXT:
        if not is_utf8(at + 4, size - 5):
            return FALLBACK
        put_quoted(out, at + 4, size - 5)
        return OK
    if kind == NULL_VALUE or kind == UNDEFINED:
        put(out, b"null", 4)
        return OK
    if kind == INT32 or kind == INT64 or kind == BOOL or (kind == DOUBLE and isfinite(double_at(at))):
        return put_plain(out, kind, at, size)
    if kind == DECIMAL and not tree.quote_decimals:
        return put_plain(out, kind, at, size)
    put_byte(out, b'"')
    if put_plain(out, kind, at, size):
        return FALLBACK
    put_byte(out, b'"')
    return OK


cdef int put_json_list(
    Out* out, Tree* tree, int node, const unsigned char* at, Py_ssize_t size, int depth, int indent
) noexcept nogil:
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef int below = NONE if indent == NONE else indent + 2, items
    if depth > MAX_DEPTH:
        return FALLBACK
    put_byte(out, b"[")
    at += 4
    if at < end:
        items = items_of(tree, node)
        if items == NONE:
            return FALLBACK
        while True:
            put_break(out, below)
            kind = at[0]
            at += 1
            length = key_size(at, end)
            if length < 0:
                return FALLBACK
            at += length + 1
            length = size_of(kind, at, end)
            if length < 0 or put_json(out, tree, items, kind, at, length, depth + 1, below):
                return FALLBACK
            at += length
            if at >= end:
                break
            put_byte(out, b",")
        put_break(out, indent)
    put_byte(out, b"]")
    return OK


cdef inline void put_key(Out* out, Node* node, int indent, bint first) noexcept nogil:
    """A key with its colon on a new line, after a comma unless it is the first."""
    if not first:
        put_byte(out, b",")
    put_break(out, indent)
    put(out, node.key + node.length + 1, node.label_length)


cdef inline bint is_empty_object(Out* out) noexcept nogil:
    """Whether the object written last is empty: only then are its braces next to each other."""
    return out.size >= 2 and out.bytes[out.size - 2] == b"{"


cdef int put_json_object(
    Out* out, Tree* tree, int node, const unsigned char* at, Py_ssize_t size, int depth, int indent
) noexcept nogil:
    """An object without excluded keys, and without objects that are empty because of exclusions."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef size_t begin
    cdef int below = NONE if indent == NONE else indent + 2, last = NONE, key
    cdef int64_t number
    cdef bint empty = True
    if depth > MAX_DEPTH:
        return FALLBACK
    tree.objects += 1
    number = tree.objects
    put_byte(out, b"{")
    at += 4
    while at < end:
        kind = at[0]
        at += 1
        key = next_key(tree, node, last, at, end)
        if key == NONE:
            length = key_size(at, end)
            if length < 0:
                return FALLBACK
            key = add_node(tree, node, at, <int> length, at, length)
            if key == NONE:
                return FALLBACK
            predict(tree, node, last, key)
        last = key
        if tree.nodes[key].met == number or tree.nodes[key].may_be_dbref:
            return FALLBACK
        if tree.nodes[key].own_id:
            return OTHER_ROOT
        tree.nodes[key].met = number
        at += tree.nodes[key].length + 1
        length = size_of(kind, at, end)
        if length < 0:
            return FALLBACK
        if tree.nodes[key].excluded:
            if check(kind, at, length, depth + 1):
                return FALLBACK
            at += length
            continue
        begin = out.size
        put_key(out, &tree.nodes[key], below, empty)
        if put_json(out, tree, key, kind, at, length, depth + 1, below):
            return FALLBACK
        if tree.nodes[key].above_excluded and kind == OBJECT and length > 5 and is_empty_object(out):
            out.size = begin
        else:
            empty = False
        at += length
    if not empty:
        put_break(out, indent)
    put_byte(out, b"}")
    return OK
