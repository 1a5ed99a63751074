# Writes a batch document by document without the GIL, and takes the GIL for those that the reference has to write.

@cython.internal
cdef class Engine:
    """Writes documents one after the other.

    `reference` takes a document's bytes and the number of its row, and returns it as written to the file.
    """

    cdef Tree tree
    cdef Out out
    cdef Out scratch
    cdef int root
    cdef object reference
    cdef bytes ending  # written after each document
    cdef const char* after
    cdef size_t after_size

    def __cinit__(self):
        self.tree.seed = <unsigned int> int.from_bytes(os.urandom(4), "little")
        # Both buffers get memory from the start, so that an empty one is not a null pointer.
        if not make_tree(&self.tree) or room(&self.out, 1) == NULL or room(&self.scratch, 1) == NULL:
            raise MemoryError

    def __dealloc__(self):
        free_tree(&self.tree)
        free(self.out.bytes)
        free(self.scratch.bytes)

    def encode(self, bytes batch not None, int64_t first=0):
        """A batch as written to the file; its rows are numbered from `first`.

        Raises:
            Exception: whatever the reference raises.
        """
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(batch)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(batch)
        cdef Py_ssize_t size
        cdef size_t begin
        cdef int64_t row = first
        cdef int code
        if self.tree.count >= MAX_NODES:
            free_tree(&self.tree)
            self.begin()
        self.out.size = 0
        with nogil:
            while at < end:
                size = document_size(at, end)
                if size < 0:
                    break
                begin = self.out.size
                code = self.write(at, size, row)
                at += size
                if code == OK:
                    row += 1
                    continue
                self.out.size = begin
                if code != SKIPPED:
                    with gil:
                        row += self.fall_back(batch, at - size, size, row, code)
        if at < end:  # damaged: the reference raises the right error
            return self.reference(batch, first)
        if self.out.failed or self.scratch.failed:
            raise MemoryError
        return Encoded(PyBytes_FromStringAndSize(self.out.bytes, self.out.size), row - first)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        """Write one document; returns OK, or why it was not written."""
        return FALLBACK

    cdef int end_with(self, bytes ending) except -1:
        self.ending = ending
        self.after, self.after_size = PyBytes_AS_STRING(ending), PyBytes_GET_SIZE(ending)
        return 0

    cdef int begin(self) except -1:
        """Start with an empty tree."""
        if not make_tree(&self.tree):
            raise MemoryError
        return 0

    cdef int fall_back(self, bytes batch, const unsigned char* at, Py_ssize_t size, int64_t row, int code) except -1:
        """Let the reference write a document, and learn its keys; returns the number of rows."""
        document = PyBytes_FromStringAndSize(<const char*> at, size)
        try:
            text, rows = self.reference(document, row)
        except Exception:
            documents(batch)  # the reference decodes a whole batch before it writes any of it, so damage is reported first
            raise
        put(&self.out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if code == UNKNOWN:
            self.learn(document)
        return rows

    cdef int learn(self, bytes document) except -1:
        return 0

    cdef int node_of(self, int above, str key):
        """The node of a key, created if necessary; NONE if that is impossible."""
        cdef bytes encoded = key.encode("utf-8", "surrogatepass")
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(encoded)
        cdef int size = <int> PyBytes_GET_SIZE(encoded), node = find_node(&self.tree, above, at, size)
        return add_node(&self.tree, above, at, size, at, size) if node == NONE else node
