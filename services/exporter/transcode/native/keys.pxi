# A tree of the keys found in documents, so that each key is escaped, and its column decided, only once.
#
# Documents of a collection are similar. The key that followed this one last time is tried first, so most keys cost one
# comparison. The others are looked up in one hash table of (node above, key).

cdef enum:
    NONE = -1
    IGNORED = -1  # as in names.py
    UNDECIDED = -2
    MAX_NODES = 100000  # then the tree is rebuilt: a collection may have new keys in every document

cdef struct Node:
    int above
    unsigned int hash
    int length  # of the key
    int label_length
    char* key  # with its NUL, followed by the label: the key as JSON, with its colon
    int column  # of values
    int column_of_empty  # of empty objects
    int first  # the first key of the last object at this node
    int after  # the key that followed this one last time
    int field  # the selected field at this node; NONE: not selected
    int items  # the node above the keys of objects in lists at this node
    bint own_id  # the key `id` below the root for documents without one: such a document belongs to the other root
    bint may_be_dbref  # the key is $ref, so its object may be a DBRef
    bint whole  # an object here is a value too
    bint excluded
    bint above_excluded
    bint cdata  # in XML: text here is in CDATA sections
    int64_t met  # the number of the last object with this key; duplicates are left to the reference

cdef struct Tree:
    Node* nodes
    int count
    int capacity
    int* table
    unsigned int mask
    unsigned int seed
    int64_t objects  # read so far
    int64_t document  # the number of the current document among them
    bint pretty  # labels end in ": "
    bint quote_decimals


cdef inline unsigned int hash_of(Tree* tree, int above, const unsigned char* key, int length) noexcept nogil:
    cdef uint64_t mixed = tree.seed ^ <uint64_t> above * <uint64_t> 0x9E3779B97F4A7C15, word
    cdef int at = 0
    while at < length:
        word = 0
        memcpy(&word, key + at, 8 if length - at >= 8 else length - at)
        mixed = (mixed ^ word) * <uint64_t> 0xFF51AFD7ED558CCD
        mixed ^= mixed >> 29
        at += 8
    return <unsigned int> (mixed ^ mixed >> 32 ^ <uint64_t> length)


cdef int find_node(Tree* tree, int above, const unsigned char* key, int length) noexcept nogil:
    """The node of a key, or NONE."""
    cdef unsigned int hashed = hash_of(tree, above, key, length), slot = hashed & tree.mask
    cdef Node* node
    while tree.table[slot] != NONE:
        node = &tree.nodes[tree.table[slot]]
        if node.hash == hashed and node.above == above and node.length == length:
            if memcmp(node.key, key, length) == 0:
                return tree.table[slot]
        slot = (slot + 1) & tree.mask
    return NONE


cdef bint has_room(Tree* tree) noexcept nogil:
    """Make room for one more node; False if there is no memory."""
    cdef int capacity = 2 * tree.capacity, at
    cdef unsigned int slot
    cdef Node* nodes
    cdef int* table
    if tree.count < tree.capacity:
        return True
    table = <int*> malloc(4 * <size_t> capacity * sizeof(int))
    if table == NULL:
        return False
    nodes = <Node*> realloc(tree.nodes, capacity * sizeof(Node))
    if nodes == NULL:
        free(table)
        return False
    free(tree.table)
    tree.nodes, tree.table, tree.capacity, tree.mask = nodes, table, capacity, 4 * <unsigned int> capacity - 1
    memset(table, 0xFF, 4 * <size_t> capacity * sizeof(int))
    for at in range(tree.count):
        slot = nodes[at].hash & tree.mask
        while table[slot] != NONE:
            slot = (slot + 1) & tree.mask
        table[slot] = at
    return True


cdef int add_node(
    Tree* tree, int above, const unsigned char* key, int length, const unsigned char* shown, int size
) noexcept nogil:
    """A new node for a key, written in JSON as `shown`; NONE if it is not valid UTF-8 or there is no memory."""
    cdef Out label
    cdef Node* node
    cdef unsigned int slot
    if tree.count >= MAX_NODES or not is_utf8(key, length) or not has_room(tree):
        return NONE
    memset(&label, 0, sizeof(Out))
    put(&label, <const char*> key, length)
    put_byte(&label, 0)
    put_quoted(&label, shown, size)
    put_byte(&label, b":")
    if tree.pretty:
        put_byte(&label, b" ")
    if label.failed:
        free(label.bytes)
        return NONE
    node = &tree.nodes[tree.count]
    memset(node, 0, sizeof(Node))
    node.above, node.length, node.hash = above, length, hash_of(tree, above, key, length)
    node.label_length = <int> label.size - length - 1
    node.key = <char*> realloc(label.bytes, label.size)
    if node.key == NULL:
        node.key = label.bytes
    node.column = node.column_of_empty = UNDECIDED
    node.first = node.after = node.items = node.field = NONE
    node.may_be_dbref = length == 4 and memcmp(key, <const char*> b"$ref", 4) == 0
    slot = node.hash & tree.mask
    while tree.table[slot] != NONE:
        slot = (slot + 1) & tree.mask
    tree.table[slot] = tree.count
    tree.count += 1
    return tree.count - 1


cdef inline int next_key(Tree* tree, int above, int last, const unsigned char* at, const unsigned char* end) noexcept nogil:
    """The node of the key at `at`, which follows the key `last` (NONE: it is the first); NONE if it has no node.

    If a node is returned, the key and its NUL end before `end`.
    """
    cdef int expected = tree.nodes[above].first if last == NONE else tree.nodes[last].after
    cdef Py_ssize_t length
    cdef int node
    if expected != NONE:
        length = tree.nodes[expected].length
        if length < end - at and memcmp(tree.nodes[expected].key, at, length + 1) == 0:
            return expected
    length = key_size(at, end)
    if length < 0:
        return NONE
    node = find_node(tree, above, at, <int> length)
    if node != NONE:
        predict(tree, above, last, node)
    return node


cdef inline void predict(Tree* tree, int above, int last, int node) noexcept nogil:
    if last == NONE:
        tree.nodes[above].first = node
    else:
        tree.nodes[last].after = node


cdef int items_of(Tree* tree, int node) noexcept nogil:
    """The node above the keys of objects in lists at this node; NONE if there is no memory."""
    cdef int items = tree.nodes[node].items
    if items == NONE:
        # No object has such a key, since keys contain no NUL.
        items = add_node(tree, node, <const unsigned char*> b"\0", 1, <const unsigned char*> b"", 0)
        tree.nodes[node].items = items
    return items


cdef enum:
    PLAIN = 0
    OWN_ID = 1
    OWN_ID_KEY = 4


cdef bint add_roots(Tree* tree) noexcept nogil:
    """Add both roots, and the keys that tell them apart; False if there is no memory.

    `_id` is exported as `id` unless the document has a field called `id`. Each document is first tried with the root of
    the previous one.
    """
    cdef int id_
    if add_node(tree, NONE, <const unsigned char*> b"", 0, <const unsigned char*> b"", 0) != PLAIN:
        return False
    add_node(tree, NONE, <const unsigned char*> b"\0", 1, <const unsigned char*> b"", 0)  # OWN_ID
    add_node(tree, PLAIN, <const unsigned char*> b"_id", 3, <const unsigned char*> b"id", 2)
    id_ = add_node(tree, PLAIN, <const unsigned char*> b"id", 2, <const unsigned char*> b"", 0)
    if add_node(tree, OWN_ID, <const unsigned char*> b"id", 2, <const unsigned char*> b"id", 2) != OWN_ID_KEY:
        return False
    tree.nodes[id_].own_id = True
    return True


cdef bint make_tree(Tree* tree) noexcept nogil:
    """Create a tree with both roots; False if there is no memory."""
    tree.capacity, tree.mask, tree.count = 64, 4 * 64 - 1, 0
    tree.nodes = <Node*> malloc(64 * sizeof(Node))
    tree.table = <int*> malloc(4 * 64 * sizeof(int))
    if tree.nodes == NULL or tree.table == NULL:
        return False
    memset(tree.table, 0xFF, 4 * 64 * sizeof(int))
    return add_roots(tree)


cdef void free_tree(Tree* tree) noexcept nogil:
    """Free all memory."""
    cdef int at
    for at in range(tree.count):
        free(tree.nodes[at].key)
    free(tree.nodes)
    free(tree.table)
    tree.nodes, tree.table, tree.count = NULL, NULL, 0
