# The fields of JSON that were asked for by name, in the order asked for: what selected.py does, without copying.
#
# A wish is a place in documents where a path ends or passes through. Its steps say in which order the keys below it are
# written: those of each path in turn, if the document has what is at the end of that path; and all that is left, once a
# path ends here or above.

cdef enum:
    REST = -1

cdef struct Step:
    int wish  # the key to write, or REST
    int end  # the end of the path that asks for it

cdef struct Wish:
    Step* steps
    int count
    int64_t met  # the number of the last document that has something here
    int64_t written  # and of the last one of which it was written
    int node
    unsigned char kind
    const unsigned char* at
    Py_ssize_t size


cdef inline void note_wish(
    Wish* wish, int64_t document, unsigned char kind, const unsigned char* at, Py_ssize_t size
) noexcept nogil:
    wish.met, wish.kind, wish.at, wish.size = document, kind, at, size


cdef int put_wish(Out* out, Tree* tree, Wish* wishes, Wish* wish, int depth, int indent, bint first) noexcept nogil:
    """A key and what of its value was asked for."""
    wish.written = tree.document
    put_key(out, &tree.nodes[wish.node], indent, first)
    if wish.count and wish.kind == OBJECT and wish.size > 5:
        return put_wishes(out, tree, wishes, wish, depth + 1, indent)
    return put_json(out, tree, wish.node, wish.kind, wish.at, wish.size, depth + 1, indent)


cdef int put_wishes(Out* out, Tree* tree, Wish* wishes, Wish* above, int depth, int indent) noexcept nogil:
    """An object of what was asked for below a wish, which has a document's object or the document itself."""
    cdef int below = NONE if indent == NONE else indent + 2, at
    cdef bint empty = True
    cdef Step* step
    put_byte(out, b"{")
    for at in range(above.count):
        step = &above.steps[at]
        if step.wish == REST:
            if put_rest(out, tree, wishes, above, depth, below, &empty):
                return ODD
        elif wishes[step.end].met == tree.document and wishes[step.wish].written != tree.document:
            if put_wish(out, tree, wishes, &wishes[step.wish], depth, below, empty):
                return ODD
            empty = False
    if not empty:
        put_break(out, indent)
    put_byte(out, b"}")
    return FINE


cdef int put_rest(Out* out, Tree* tree, Wish* wishes, Wish* above, int depth, int indent, bint* empty) noexcept nogil:
    """The keys of an object that are not written yet, in its order; all of them are known to be sound."""
    cdef const unsigned char* at = above.at + 4
    cdef const unsigned char* end = above.at + above.size - 1
    cdef unsigned char kind
    cdef Py_ssize_t size
    cdef int key = NONE, wish
    while at < end:
        kind = at[0]
        key = next_key(tree, above.node, key, at + 1, end)
        if key == NONE:
            return ODD
        at += tree.nodes[key].length + 2
        size = size_of(kind, at, end)
        if size < 0:
            return ODD
        wish = tree.nodes[key].wish
        if wish == NONE:
            put_key(out, &tree.nodes[key], indent, empty[0])
            if put_json(out, tree, key, kind, at, size, depth + 1, indent):
                return ODD
            empty[0] = False
        elif wishes[wish].written != tree.document:
            if put_wish(out, tree, wishes, &wishes[wish], depth, indent, empty[0]):
                return ODD
            empty[0] = False
        at += size
    return FINE
