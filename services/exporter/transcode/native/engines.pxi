# What a batch is put through: document after document without the GIL, and those for the reference with it.

@cython.internal
cdef class Engine:
    """Writes documents one after the other.

    `slowly` is the reference: a document's bytes and the number of its row in, what is written of it out.
    """

    cdef Tree tree
    cdef Out out
    cdef Out scratch
    cdef int root
    cdef object slowly
    cdef bytes ending  # after each document
    cdef const char* after
    cdef size_t after_size

    def __cinit__(self):
        self.tree.seed = <unsigned int> int.from_bytes(os.urandom(4), "little")
        # Both buffers have a place from the start, so that nothing written to one is no null pointer.
        if not began(&self.tree) or room(&self.out, 1) == NULL or room(&self.scratch, 1) == NULL:
            raise MemoryError

    def __dealloc__(self):
        ended(&self.tree)
        free(self.out.bytes)
        free(self.scratch.bytes)

    def encode(self, bytes batch not None, int64_t first=0):
        """A batch as it stands in the file; its rows are numbered from `first`.

        Raises:
            Whatever the reference does.
        """
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(batch)
        cdef const unsigned char* end = at + PyBytes_GET_SIZE(batch)
        cdef Py_ssize_t size
        cdef size_t begin
        cdef int64_t row = first
        cdef int code
        if self.tree.count >= MOST_NODES:
            ended(&self.tree)
            self.begin()
        self.out.size = 0
        with nogil:
            while at < end:
                size = document_size(at, end)
                if size < 0:
                    break
                begin = self.out.size
                code = self.write(at, size, row)
                if code:
                    self.out.size = begin
                    with gil:
                        self.hand_over(batch, at, size, row, code)
                at += size
                row += 1
        if at < end:  # damaged: the reference says how
            return self.slowly(batch, first)
        if self.out.failed or self.scratch.failed:
            raise MemoryError
        return Encoded(PyBytes_FromStringAndSize(self.out.bytes, self.out.size), row - first)

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        """Write one document, or say why not."""
        return ODD

    cdef int end_with(self, bytes ending) except -1:
        self.ending = ending
        self.after, self.after_size = PyBytes_AS_STRING(ending), PyBytes_GET_SIZE(ending)
        return 0

    cdef int begin(self) except -1:
        """Begin with a tree that knows nothing."""
        if not began(&self.tree):
            raise MemoryError
        return 0

    cdef int hand_over(self, bytes batch, const unsigned char* at, Py_ssize_t size, int64_t row, int code) except -1:
        """Have the reference write a document, and learn from it."""
        document = PyBytes_FromStringAndSize(<const char*> at, size)
        try:
            text, _ = self.slowly(document, row)
        except Exception:
            documents(batch)  # the reference decodes a batch before it writes any of it, so damage comes first
            raise
        put(&self.out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if code == UNKNOWN:
            self.learn(document)
        return 0

    cdef int learn(self, bytes document) except -1:
        return 0

    cdef int plant(self, int above, str key):
        """The node of a key, new or old; NONE when there can be none."""
        cdef bytes encoded = key.encode("utf-8", "surrogatepass")
        cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(encoded)
        cdef int size = <int> PyBytes_GET_SIZE(encoded), node = found(&self.tree, above, at, size)
        return added(&self.tree, above, at, size, at, size) if node == NONE else node
