# JSON objects of the fields that a request includes, in its order: like field_selector.py, but without copying.
#
# A selected field is a place in documents that a path passes through or ends at. Its steps are the order in which the
# keys below it are written: first the key of each path, if the document has a value at the end of that path; then all
# remaining keys, if a path ends here or above.

cdef enum:
    REST = -1

cdef struct Step:
    int field  # the key to write, or REST
    int end  # the end of the path that selects it

cdef struct SelectedField:
    Step* steps
    int count
    int64_t met  # the number of the last document that has this field
    int64_t written  # the number of the last document whose field was written
    int node
    unsigned char kind
    const unsigned char* at
    Py_ssize_t size


cdef inline void note_field(
    SelectedField* field, int64_t document, unsigned char kind, const unsigned char* at, Py_ssize_t size
) noexcept nogil:
    field.met, field.kind, field.at, field.size = document, kind, at, size


cdef int put_selected_field(
    Out* out, Tree* tree, SelectedField* fields, SelectedField* field, int depth, int indent, bint first
) noexcept nogil:
    """A key and the selected part of its value."""
    field.written = tree.document
    put_key(out, &tree.nodes[field.node], indent, first)
    if field.count and field.kind == OBJECT and field.size > 5:
        return put_selected_fields(out, tree, fields, field, depth + 1, indent)
    return put_json(out, tree, field.node, field.kind, field.at, field.size, depth + 1, indent)


cdef int put_selected_fields(
    Out* out, Tree* tree, SelectedField* fields, SelectedField* above, int depth, int indent
) noexcept nogil:
    """An object with the selected keys below `above`, which is an object or the document itself."""
    cdef int below = NONE if indent == NONE else indent + 2, at
    cdef bint empty = True
    cdef Step* step
    put_byte(out, b"{")
    for at in range(above.count):
        step = &above.steps[at]
        if step.field == REST:
            if put_rest(out, tree, fields, above, depth, below, &empty):
                return FALLBACK
        elif fields[step.end].met == tree.document and fields[step.field].written != tree.document:
            if put_selected_field(out, tree, fields, &fields[step.field], depth, below, empty):
                return FALLBACK
            empty = False
    if not empty:
        put_break(out, indent)
    put_byte(out, b"}")
    return OK


cdef int put_rest(
    Out* out, Tree* tree, SelectedField* fields, SelectedField* above, int depth, int indent, bint* empty
) noexcept nogil:
    """The keys of an object that are not written yet, in its order; all of them have been checked."""
    cdef const unsigned char* at = above.at + 4
    cdef const unsigned char* end = above.at + above.size - 1
    cdef unsigned char kind
    cdef Py_ssize_t size
    cdef int key = NONE, field
    while at < end:
        kind = at[0]
        key = next_key(tree, above.node, key, at + 1, end)
        if key == NONE:
            return FALLBACK
        at += tree.nodes[key].length + 2
        size = size_of(kind, at, end)
        if size < 0:
            return FALLBACK
        field = tree.nodes[key].field
        if field == NONE:
            put_key(out, &tree.nodes[key], indent, empty[0])
            if put_json(out, tree, key, kind, at, size, depth + 1, indent):
                return FALLBACK
            empty[0] = False
        elif fields[field].written != tree.document:
            if put_selected_field(out, tree, fields, &fields[field], depth, indent, empty[0]):
                return FALLBACK
            empty[0] = False
        at += size
    return OK
