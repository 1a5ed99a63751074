# Documents as XML elements; the rules are those of elements.py.
#
# The label of a node is the opening tag, `<name>`. Labels are made in Python when a document with a new key is learned,
# so no node is added while documents are written: an unknown key is left to the reference.

cdef struct XmlStyle:
    bint attributes
    const char* row  # the opening tag of a document
    int row_length


cdef const char* REPLACEMENT = b"\xef\xbf\xbd"


cdef bint needs_xml(const unsigned char* text, size_t size) noexcept nogil:
    """Whether text may need escaping in an element or attribute; also True for the first byte of U+FFFE."""
    cdef unsigned char left = 0xFF, lowest = 0xFF, byte
    cdef size_t at
    for at in range(size):
        byte = text[at]
        lowest = least(lowest, byte)
        left = least(least(left, byte ^ 0x26), least(least(byte ^ 0x3C, byte ^ 0x3E), least(byte ^ 0x22, byte ^ 0xEF)))
    return left == 0 or lowest < 0x20


cdef inline int xml_forbidden(const unsigned char* text, const unsigned char* end) noexcept nogil:
    """Bytes of the character at `text` if XML forbids it, else 0."""
    if text[0] < 0x20:
        return 0 if text[0] == 0x09 or text[0] == 0x0A or text[0] == 0x0D else 1
    return 3 if text[0] == 0xEF and end - text >= 3 and text[1] == 0xBF and text[2] >= 0xBE else 0


cdef inline const char* xml_escape(unsigned char byte, bint attribute) noexcept nogil:
    """What is written for a byte; NULL: itself."""
    if byte == 0x26:
        return b"&amp;"
    if byte == 0x3C:
        return b"&lt;"
    if byte == 0x3E:
        return b"&gt;"
    if byte == 0x0D:
        return b"&#13;"
    if attribute:
        if byte == 0x22:
            return b"&quot;"
        if byte == 0x09:
            return b"&#9;"
        if byte == 0x0A:
            return b"&#10;"
    return NULL


cdef void put_xml_text(Out* out, const unsigned char* text, size_t size, bint attribute) noexcept nogil:
    """Valid text in an element, or between the quotes of an attribute."""
    cdef const unsigned char* end = text + size
    cdef const unsigned char* begin = text
    cdef const char* escape
    cdef int odd
    if not needs_xml(text, size):
        put(out, <const char*> text, size)
        return
    while text < end:
        odd = xml_forbidden(text, end)
        escape = REPLACEMENT if odd else xml_escape(text[0], attribute)
        if escape == NULL:
            text += 1
            continue
        put(out, <const char*> begin, text - begin)
        put(out, escape, strlen(escape))
        text += odd if odd else 1
        begin = text
    put(out, <const char*> begin, end - begin)


cdef void put_cdata(Out* out, const unsigned char* text, size_t size) noexcept nogil:
    """Valid text in CDATA sections."""
    cdef const unsigned char* end = text + size
    cdef const unsigned char* begin = text
    cdef int odd
    put(out, b"<![CDATA[", 9)
    while text < end:
        odd = xml_forbidden(text, end)
        if odd:
            put(out, <const char*> begin, text - begin)
            put(out, REPLACEMENT, 3)
            text += odd
            begin = text
        elif text[0] == 0x0D:  # a parser would turn it into LF
            put(out, <const char*> begin, text - begin)
            put(out, b"]]>&#13;<![CDATA[", 17)
            text += 1
            begin = text
        elif text[0] == 0x5D and end - text >= 3 and text[1] == 0x5D and text[2] == 0x3E:
            put(out, <const char*> begin, text - begin)
            put(out, b"]]]]><![CDATA[>", 15)
            text += 3
            begin = text
        else:
            text += 1
    put(out, <const char*> begin, end - begin)
    put(out, b"]]>", 3)


cdef inline const char* label_of(Node* node) noexcept nogil:
    return node.key + node.length + 1


cdef inline void put_close(Out* out, const char* label, int length, size_t begin) noexcept nogil:
    """The end of an element whose content began at `begin`, after the `>`; `<name/>` without content."""
    if out.size == begin:
        out.size -= 1
        put(out, b"/>", 2)
    else:
        put(out, b"</", 2)
        put(out, label + 1, length - 1)


cdef inline bint is_attribute(XmlStyle* style, Node* node, unsigned char kind) noexcept nogil:
    return style.attributes and kind != OBJECT and kind != LIST and not node.cdata


cdef int put_xml_attribute(
    Out* out, Node* node, unsigned char kind, const unsigned char* at, Py_ssize_t size
) noexcept nogil:
    put_byte(out, b" ")
    put(out, label_of(node) + 1, node.label_length - 2)
    put(out, b'="', 2)
    if kind == TEXT:
        if not is_utf8(at + 4, size - 5):
            return FALLBACK
        put_xml_text(out, at + 4, size - 5, True)
    elif put_plain(out, kind, at, size):
        return FALLBACK
    put_byte(out, b'"')
    return OK


cdef int put_xml(
    Out* out, Tree* tree, XmlStyle* style, const char* label, int length, int node, unsigned char kind,
    const unsigned char* at, Py_ssize_t size, int depth
) noexcept nogil:
    """An element; EMPTY for an object that only has excluded keys, which is not to be written."""
    cdef size_t begin, opened
    cdef int code = OK
    put(out, label, length - 1)
    opened = out.size
    if kind == OBJECT and style.attributes:
        code = put_xml_members(out, tree, style, node, at, size, depth, True)
        if code:
            return code
    put_byte(out, b">")
    begin = out.size
    if kind == OBJECT:
        code = put_xml_members(out, tree, style, node, at, size, depth, False)
        if code == OK and size > 5 and out.size == opened + 1 and tree.nodes[node].above_excluded:
            return EMPTY
    elif kind == LIST:
        code = put_xml_items(out, tree, style, node, at, size, depth)
    elif kind == TEXT:
        if not is_utf8(at + 4, size - 5):
            return FALLBACK
        if tree.nodes[node].cdata and size > 5:
            put_cdata(out, at + 4, size - 5)
        else:
            put_xml_text(out, at + 4, size - 5, False)
    else:
        code = put_plain(out, kind, at, size)
    if code == OK:
        put_close(out, label, length, begin)
    return code


cdef int put_xml_items(
    Out* out, Tree* tree, XmlStyle* style, int node, const unsigned char* at, Py_ssize_t size, int depth
) noexcept nogil:
    """The values of a list."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef int of_item, code
    if depth > MAX_DEPTH:
        return FALLBACK
    at += 4
    while at < end:
        kind = at[0]
        at += 1
        length = key_size(at, end)
        if length < 0:
            return FALLBACK
        at += length + 1
        length = size_of(kind, at, end)
        if length < 0:
            return FALLBACK
        of_item = tree.nodes[node].items if kind == OBJECT or kind == LIST else node
        if of_item == NONE:
            return UNKNOWN
        code = put_xml(out, tree, style, b"<item>", 6, of_item, kind, at, length, depth + 1)
        if code:
            return code
        at += length
    return OK


cdef int put_xml_members(
    Out* out, Tree* tree, XmlStyle* style, int node, const unsigned char* at, Py_ssize_t size, int depth,
    bint as_attributes
) noexcept nogil:
    """The members of an object that are attributes, or those that are elements; without excluded keys."""
    cdef const unsigned char* end = at + size - 1
    cdef unsigned char kind
    cdef Py_ssize_t length
    cdef size_t begin
    cdef int last = NONE, code
    cdef int64_t number
    cdef Node* key
    if depth > MAX_DEPTH:
        return FALLBACK
    tree.objects += 1
    number = tree.objects
    at += 4
    while at < end:
        kind = at[0]
        at += 1
        last = next_key(tree, node, last, at, end)
        if last == NONE:
            return UNKNOWN
        key = &tree.nodes[last]
        if key.met == number or key.may_be_dbref:
            return FALLBACK
        if key.own_id:
            return OTHER_ROOT
        key.met = number
        at += key.length + 1
        length = size_of(kind, at, end)
        if length < 0:
            return FALLBACK
        if key.excluded:
            if not as_attributes and check(kind, at, length, depth + 1):
                return FALLBACK
        elif is_attribute(style, key, kind) == as_attributes:
            begin = out.size
            if as_attributes:
                code = put_xml_attribute(out, key, kind, at, length)
            else:
                code = put_xml(
                    out, tree, style, label_of(key), key.label_length, last, kind, at, length, depth + 1
                )
            if code == EMPTY:
                out.size = begin
            elif code:
                return code
        at += length
    return OK


# The same for selected fields, in the order of the request; compare json_selection.pxi.

cdef int put_selected_element(
    Out* out, Tree* tree, XmlStyle* style, SelectedField* fields, SelectedField* field, int depth, bint as_attributes
) noexcept nogil:
    """A selected field, if it is an attribute or an element as wanted."""
    cdef Node* node = &tree.nodes[field.node]
    cdef int code
    if is_attribute(style, node, field.kind) != as_attributes:
        return OK
    field.written = tree.document
    if as_attributes:
        return put_xml_attribute(out, node, field.kind, field.at, field.size)
    if field.count and field.kind == OBJECT and field.size > 5:
        return put_selected_object(out, tree, style, fields, field, label_of(node), node.label_length, depth)
    code = put_xml(
        out, tree, style, label_of(node), node.label_length, field.node, field.kind, field.at, field.size, depth
    )
    return FALLBACK if code == EMPTY else code


cdef int put_selected_object(
    Out* out, Tree* tree, XmlStyle* style, SelectedField* fields, SelectedField* above, const char* label, int length,
    int depth
) noexcept nogil:
    """The element of an object, or of the document itself, with its selected fields."""
    cdef int code = OK
    cdef size_t begin
    put(out, label, length - 1)
    if style.attributes:
        code = put_selected_members(out, tree, style, fields, above, depth, True)
    put_byte(out, b">")
    begin = out.size
    if code == OK:
        code = put_selected_members(out, tree, style, fields, above, depth, False)
    if code == OK:
        put_close(out, label, length, begin)
    return code


cdef int put_selected_members(
    Out* out, Tree* tree, XmlStyle* style, SelectedField* fields, SelectedField* above, int depth, bint as_attributes
) noexcept nogil:
    cdef int at, code = OK
    cdef Step* step
    for at in range(above.count):
        step = &above.steps[at]
        if step.field == REST:
            code = put_remaining_members(out, tree, style, fields, above, depth, as_attributes)
        elif fields[step.end].met == tree.document and fields[step.field].written != tree.document:
            code = put_selected_element(out, tree, style, fields, &fields[step.field], depth + 1, as_attributes)
        if code:
            return code
    return OK


cdef int put_remaining_members(
    Out* out, Tree* tree, XmlStyle* style, SelectedField* fields, SelectedField* above, int depth, bint as_attributes
) noexcept nogil:
    """The keys of an object that are not written yet, in its order; all of them have been checked."""
    cdef const unsigned char* at = above.at + 4
    cdef const unsigned char* end = above.at + above.size - 1
    cdef unsigned char kind
    cdef Py_ssize_t size
    cdef int last = NONE, code = OK
    cdef Node* key
    while at < end:
        kind = at[0]
        last = next_key(tree, above.node, last, at + 1, end)
        if last == NONE:
            return UNKNOWN
        key = &tree.nodes[last]
        at += key.length + 2
        size = size_of(kind, at, end)
        if size < 0:
            return FALLBACK
        if key.field != NONE:
            if fields[key.field].written != tree.document:
                code = put_selected_element(out, tree, style, fields, &fields[key.field], depth + 1, as_attributes)
        elif is_attribute(style, key, kind) == as_attributes:
            if as_attributes:
                code = put_xml_attribute(out, key, kind, at, size)
            else:
                code = put_xml(out, tree, style, label_of(key), key.label_length, last, kind, at, size, depth + 1)
        if code:
            return FALLBACK if code == EMPTY else code
        at += size
    return OK
