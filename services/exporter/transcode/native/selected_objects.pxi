# The plan of the fields asked for, and the engine that follows it.

@cython.internal
cdef class Chosen(Leaves):
    """Documents as JSON objects of the fields asked for."""

    cdef tuple fields
    cdef int indent
    cdef int wish_count

    def __init__(self, names, slowly, tuple fields, int indent, bytes ending):
        Leaves.__init__(self, names, slowly)
        self.fields, self.indent = fields, indent
        self.end_with(ending)
        self.tree.pretty = indent != NONE
        ended(&self.tree)
        self.begin()

    def __dealloc__(self):
        self.forget()

    cdef int write(self, const unsigned char* at, Py_ssize_t size, int64_t row) noexcept nogil:
        cdef int code = fill_document(&self.tree, &self.row, &self.root, at, size)
        if code:
            return code
        # The first two wishes are those for the two roots.
        if put_wishes(&self.out, &self.tree, self.row.wishes, &self.row.wishes[self.root], 0, self.indent):
            return ODD
        put(&self.out, self.after, self.after_size)
        return FINE

    cdef int begin(self) except -1:
        cdef int at, step, node
        Engine.begin(self)
        plan = [Plan(PLAIN), Plan(OWN_ID)]
        for name in self.fields:
            keys = parts(name)
            self.wish_for(plan, plan[OWN_ID], keys)
            if keys[0] != "_id":
                self.wish_for(plan, plan[PLAIN], ["_id", *keys[1:]] if keys[0] == "id" else keys)
        self.forget()
        self.row.wishes = <Wish*> calloc(len(plan), sizeof(Wish))
        if self.row.wishes == NULL:
            raise MemoryError
        self.wish_count = <int> len(plan)
        for at in range(self.wish_count):
            planned = plan[at]
            self.row.wishes[at].node = node = planned.node
            if at > OWN_ID:
                self.tree.nodes[node].wish = at
            if planned.steps:
                self.row.wishes[at].steps = <Step*> calloc(len(planned.steps), sizeof(Step))
                if self.row.wishes[at].steps == NULL:
                    raise MemoryError
                self.row.wishes[at].count = <int> len(planned.steps)
                for step in range(self.row.wishes[at].count):
                    self.row.wishes[at].steps[step].wish, self.row.wishes[at].steps[step].end = planned.steps[step]
        return 0

    cdef int wish_for(self, list plan, root, list keys) except -1:
        """Add a path to the plan, unless all that is there was asked for before."""
        path, at = [root], root
        for key in keys:
            if key not in at.below:
                node = self.plant(at.node, key)
                if node == NONE:  # no document has such a key
                    return 0
                at.below[key] = Plan(node, len(plan))
                plan.append(at.below[key])
            at = at.below[key]
            if at.whole:
                return 0
            path.append(at)
        for above, below in zip(path, path[1:]):
            above.steps.append((below.number, at.number))
        at.all()
        return 0

    cdef void forget(self):
        cdef int at
        for at in range(self.wish_count):
            free(self.row.wishes[at].steps)
        free(self.row.wishes)
        self.row.wishes, self.wish_count = NULL, 0


class Plan:
    """A wish while its steps are found."""

    def __init__(self, node, number=None):
        self.node, self.number = node, node if number is None else number
        self.below, self.steps, self.whole = {}, [], False

    def all(self):
        """Everything here is asked for: what is left of it comes after what was asked for before."""
        if not self.whole:
            self.whole = True
            if self.steps:
                self.steps.append((REST, REST))
            for plan in self.below.values():
                plan.all()
