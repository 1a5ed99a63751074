# The engine for JSON with all fields, or all except some.

@cython.internal
cdef class Objects(Engine):
    """Documents as JSON objects, without the excluded fields."""

    cdef tuple exclude
    cdef int indent

    def __init__(self, reference, tuple exclude, int indent, bytes ending, bint quote_decimals):
        self.reference, self.exclude, self.indent = reference, exclude, indent
        self.end_with(ending)
        free_tree(&self.tree)
        self.tree.pretty = indent != NONE
        self.tree.quote_decimals = quote_decimals
        self.begin()

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef size_t begin = self.out.size
        cdef int code = FALLBACK, _
        cdef int64_t number
        for _ in range(2):
            number = self.tree.objects + 1
            code = put_json_object(&self.out, &self.tree, self.root, at, size, 0, self.indent)
            if code == OK and self.root == OWN_ID and self.tree.nodes[OWN_ID_KEY].met != number:
                code = OTHER_ROOT
            if code != OTHER_ROOT:
                break
            self.out.size = begin
            self.root = PLAIN if self.root == OWN_ID else OWN_ID
        if code == OK:
            put(&self.out, self.after, self.after_size)
        return code

    cdef int begin(self) except -1:
        Engine.begin(self)
        for name in self.exclude:
            keys = parts(name)
            if ".".join(map(escaped, keys)) != name:  # not a valid field name
                continue
            self.exclude_path(OWN_ID, keys)
            if keys[0] != "_id":
                self.exclude_path(PLAIN, ["_id", *keys[1:]] if keys[0] == "id" else keys)
        return 0

    cdef int exclude_path(self, int node, list keys) except -1:
        """Mark the node at a path as excluded, and those above it, which may become empty."""
        for key in keys:
            if node not in (PLAIN, OWN_ID):
                self.tree.nodes[node].above_excluded = True
            node = self.node_of(node, key)
            if node == NONE:
                return 0
        self.tree.nodes[node].excluded = True
        return 0
