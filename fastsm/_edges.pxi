# Included in _core.pyx: the edges of a graph, and the cut along them.

# fsm_edge_kind, in its order, and fsm_edges.h's words for what does not resolve.
TO_NODE, TO_ARGUMENT, TO_NOTHING, TO_FUNCTION, TO_NO_FUNCTION = range(5)
BESIDE_NODE, BESIDE_NOTHING = 5, 6
LOOSE_INPUT, LOOSE_FUNCTION, LOOSE_CLASS, LOOSE_NAME, LOOSE_RESULT = (1 << i for i in range(5))


cdef class EdgeIndex:
    """Who takes from whom in a GraphDef and its functions, and who names which function.

    Args:
        nodes: Its nodes, with depth 2.
        source: What they were indexed in.

    Raises CoreError where the graph is broken on the wire, or past the core's limits.
    """
    cdef fsm_edges edges
    cdef readonly NodeIndex nodes
    cdef readonly Source source

    def __cinit__(self):
        memset(&self.edges, 0, sizeof(self.edges))

    def __init__(self, NodeIndex nodes not None, Source source not None):
        cdef fsm_error e
        cdef fsm_status s
        if nodes.nodes.nodes.n != nodes.nodes.n_nodes + nodes.nodes.n_function_nodes:
            raise ValueError("nodes: without rows")
        fsm_edges_free(&self.edges)
        self.nodes = nodes
        self.source = source
        with nogil:
            s = fsm_edges_resolve(&self.edges, &nodes.nodes, &source.src, &e)
        if s:
            _raise(&e)

    def __dealloc__(self):
        fsm_edges_free(&self.edges)

    cdef fsm_node *_node(self, uint32_t row) except NULL:
        if row >= self.nodes.nodes.nodes.n:
            raise IndexError(row)
        return <fsm_node *>self.nodes.nodes.nodes.items + row

    cdef uint32_t _function(self, uint32_t owner) except? 0:
        """An owner as its position among the functions."""
        if not 0 < owner <= self.nodes.nodes.functions.n:
            raise IndexError(owner)
        return owner - 1

    def row(self, bytes name not None, uint32_t owner=0):
        """The row of the owner's node with this name, of several the first; or None."""
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(name)
        cdef uint32_t row
        cdef fsm_error e
        if fsm_edges_row(&self.edges, &self.nodes.nodes, &self.source.src, owner, p,
                         PyBytes_GET_SIZE(name), &row, &e):
            _raise(&e)
        return None if row == FSM_NO_NAME else row

    def name(self, uint32_t row):
        """The name of a row's node."""
        cdef fsm_node *node = self._node(row)
        return self.source.read(node.name, node.name_length)

    def op(self, uint32_t row):
        return self.nodes._name(self._node(row).op)

    def owner(self, uint32_t row):
        return self._node(row).owner

    def place(self, uint32_t row):
        """(start, end) of a row's NodeDef in the source."""
        cdef fsm_node *node = self._node(row)
        return node.start, node.start + node.length

    def edges_of(self, uint32_t row):
        """(kind, number) of each edge of a row: its inputs in file order, then what it names.

        The number is a row, an argument's or a function's position; 0 where there is nothing.
        """
        self._node(row)
        cdef fsm_edge *edges = <fsm_edge *>self.edges.edges.items
        cdef uint32_t i
        return [
            (<int>fsm_edge_kind_of(edges[i]), fsm_edge_number(edges[i]))
            for i in range(self.edges.first[row], self.edges.first[row + 1])
        ]

    def taken(self, uint32_t row):
        """The row that each input of a row comes from; -1 where it is none."""
        self._node(row)
        cdef fsm_edge *edges = <fsm_edge *>self.edges.edges.items
        cdef uint32_t i
        return [
            <int64_t>fsm_edge_number(edges[i]) if fsm_edge_kind_of(edges[i]) == FSM_TO_NODE else -1
            for i in range(self.edges.first[row], self.edges.first[row + 1])
            if fsm_edge_kind_of(edges[i]) <= FSM_TO_NOTHING
        ]

    def takers(self, uint32_t row):
        """The rows that have an input which comes from a row, in file order."""
        cdef uint32_t owner = self._node(row).owner
        cdef fsm_function *function = <fsm_function *>self.nodes.nodes.functions.items
        cdef const fsm_edge *edges = <const fsm_edge *>self.edges.edges.items
        cdef const uint32_t *first = self.edges.first
        cdef fsm_edge wanted = FSM_EDGE(FSM_TO_NODE, row)
        cdef uint32_t at = 0, end = self.nodes.nodes.nodes.n, i
        cdef list found = []
        if owner:
            at, end = (
                function[owner - 1].first_node,
                function[owner - 1].first_node + function[owner - 1].n_nodes,
            )
        for at in range(at, end):
            for i in range(first[at], first[at + 1]):
                if edges[i] == wanted:
                    found.append(at)
                    break
        return found

    def callers(self, uint32_t owner):
        """The rows of nodes that name a function, in file order."""
        cdef fsm_edge wanted = FSM_EDGE(FSM_TO_FUNCTION, self._function(owner))
        cdef fsm_edge *edges = <fsm_edge *>self.edges.edges.items
        cdef size_t n = self.nodes.nodes.nodes.n, row
        cdef uint32_t i = 0
        cdef list found = []
        for row in range(n):
            while i < self.edges.first[row + 1]:
                if edges[i] == wanted:
                    found.append(row)
                    break
                i += 1
            i = self.edges.first[row + 1]
        return found

    def with_ops(self, ops, uint32_t owner=0):
        """The rows of an owner's nodes with these ops (names), in file order."""
        cdef fsm_nodes *nodes = &self.nodes.nodes
        cdef fsm_node *node = <fsm_node *>nodes.nodes.items
        cdef fsm_function *function
        cdef uint32_t row = 0, end = nodes.nodes.n
        cdef bytearray wanted = self.nodes._wanted(ops)
        cdef const uint8_t *is_wanted = <const uint8_t *>PyByteArray_AS_STRING(wanted)
        cdef list found = []
        if owner:
            function = <fsm_function *>nodes.functions.items + self._function(owner)
            row, end = function.first_node, function.first_node + function.n_nodes
        while row < end:
            if is_wanted[node[row].op] and node[row].owner == owner:
                found.append(row)
            row += 1
        return found

    def callees(self, uint32_t owner):
        """The functions that the nodes of a function name, each once: positions."""
        cdef fsm_function *function = <fsm_function *>self.nodes.nodes.functions.items
        cdef fsm_edge *edges = <fsm_edge *>self.edges.edges.items
        function += self._function(owner)
        cdef uint32_t i, first = self.edges.first[function.first_node]
        cdef uint32_t end = self.edges.first[function.first_node + function.n_nodes]
        cdef dict found = {}
        for i in range(first, end):
            if fsm_edge_kind_of(edges[i]) == FSM_TO_FUNCTION:
                found[fsm_edge_number(edges[i])] = None
        return list(found)

    def walk(self, bytearray nodes not None, bytearray functions not None, rows=(), owners=()):
        """Mark rows and functions, and all that they take or name.

        Args:
            nodes, functions: A byte for each, 1 where it is marked; what is is not looked at.
        """
        cdef fsm_live live
        cdef fsm_function *function = <fsm_function *>self.nodes.nodes.functions.items
        cdef uint32_t i
        cdef fsm_status s = FSM_OK
        if (<size_t>len(nodes) != self.nodes.nodes.nodes.n
                or <size_t>len(functions) != self.nodes.nodes.functions.n):
            raise ValueError("not a byte for each row and function")
        memset(&live, 0, sizeof(live))
        live.nodes = <uint8_t *>PyByteArray_AS_STRING(nodes)
        live.functions = <uint8_t *>PyByteArray_AS_STRING(functions)
        try:
            for i in rows:
                self._node(i)
                if fsm_live_mark(&live, &self.edges, FSM_EDGE(FSM_TO_NODE, i)):
                    raise MemoryError
            for i in owners:
                i = self.edges.function[function[self._function(i)].name] - 1
                if fsm_live_mark(&live, &self.edges, FSM_EDGE(FSM_TO_FUNCTION, i)):
                    raise MemoryError
            with nogil:
                s = fsm_live_walk(&live, &self.edges, &self.nodes.nodes)
            if s:
                raise MemoryError
        finally:
            free(live.todo.items)

    def displaced(self, bytearray nodes not None):
        """Those marked rows of the main graph whose `_class` names a node that is not."""
        cdef fsm_node *node = <fsm_node *>self.nodes.nodes.nodes.items
        cdef fsm_edge *edges = <fsm_edge *>self.edges.edges.items
        cdef const uint8_t *live = <const uint8_t *>PyByteArray_AS_STRING(nodes)
        cdef size_t n = self.nodes.nodes.nodes.n, row
        cdef uint32_t i
        cdef fsm_edge_kind kind
        cdef list found = []
        if <size_t>len(nodes) != n:
            raise ValueError("not a byte for each row")
        for row in range(n):
            if not live[row] or node[row].owner != 0:
                continue
            i = self.edges.first[row + 1]
            while i > self.edges.first[row]:  # what a node names stands behind its inputs
                i -= 1
                kind = fsm_edge_kind_of(edges[i])
                if kind < FSM_TO_FUNCTION:
                    break
                if kind == FSM_BESIDE_NOTHING or (
                        kind == FSM_BESIDE_NODE and not live[fsm_edge_number(edges[i])]):
                    found.append(row)
                    break
        return found

    def live_ops(self, bytearray nodes not None, bytearray functions not None):
        """The ops of the marked rows of the main graph, and of the marked functions' nodes;
        in order of first sight in the file. Functions that are called as ops are among them.
        """
        cdef fsm_node *node = <fsm_node *>self.nodes.nodes.nodes.items
        cdef const uint8_t *live = <const uint8_t *>PyByteArray_AS_STRING(nodes)
        cdef const uint8_t *called = <const uint8_t *>PyByteArray_AS_STRING(functions)
        cdef size_t n = self.nodes.nodes.nodes.n, row
        cdef bytearray used = bytearray(self.nodes.nodes.names.ends.n or 1)
        cdef uint8_t *to = <uint8_t *>PyByteArray_AS_STRING(used)
        cdef uint32_t owner
        if <size_t>len(nodes) != n or <size_t>len(functions) != self.nodes.nodes.functions.n:
            raise ValueError("not a byte for each row and function")
        for row in range(n):
            owner = node[row].owner
            if called[owner - 1] if owner else live[row]:
                to[node[row].op] = 1
        return [self.nodes._name(i) for i in range(len(used)) if to[i]]

    @property
    def n_loose(self):
        """How many functions and rows there are where something does not resolve."""
        return self.edges.loose.n

    def loose(self, size_t i):
        """(position of a function, or row; LOOSE_... of all that does not resolve there)."""
        if i >= self.edges.loose.n:
            raise IndexError(i)
        cdef fsm_loose *loose = <fsm_loose *>self.edges.loose.items + i
        return loose.at, loose.what


def prune(Source source not None, NodeIndex nodes not None, list spans not None,
          bytearray splices not None, bytearray fields not None, bytearray live_nodes not None,
          bytearray live_functions not None):
    """How to cut what is not marked out of a GraphDef: nodes of the main graph, functions, and
    the gradients that name these.

    Args:
        spans: (start, end, the row of its field, how many fields are around it, its own too)
            of each part of the GraphDef.
        splices, fields: Rows as `rewrite` takes them; those that cut are added.
        live_nodes, live_functions: A byte for each, as `EdgeIndex.walk` marks them.

    Returns:
        How many nodes, functions and gradients go.

    Raises CoreError where the graph is damaged, "INVALID" where it is not the one of `nodes`.
    """
    cdef fsm_pruned pruned
    cdef fsm_error e
    cdef fsm_status s
    cdef size_t n = len(spans), i
    cdef int64_t first_row = len(fields) // sizeof(fsm_enclosing)
    cdef const uint8_t *keep = <const uint8_t *>PyByteArray_AS_STRING(live_nodes)
    cdef const uint8_t *keep_functions = <const uint8_t *>PyByteArray_AS_STRING(live_functions)
    if (<size_t>len(live_nodes) != nodes.nodes.nodes.n
            or <size_t>len(live_functions) != nodes.nodes.functions.n):
        raise ValueError("not a byte for each row and function")
    cdef fsm_prune_span *where = <fsm_prune_span *>malloc((n or 1) * sizeof(fsm_prune_span))
    if where == NULL:
        raise MemoryError
    memset(&pruned, 0, sizeof(pruned))
    try:
        for i in range(n):
            start, end, row, depth = spans[i]
            where[i] = fsm_prune_span(start, end, row, depth)
        with nogil:
            s = fsm_prune(&pruned, &source.src, &nodes.nodes, where, n, first_row, keep,
                          keep_functions, &e)
        if s:
            _raise(&e)
        _extend(splices, &pruned.splices, sizeof(fsm_splice))
        _extend(fields, &pruned.fields, sizeof(fsm_enclosing))
        return pruned.n_nodes, pruned.n_functions, pruned.n_gradients
    finally:
        free(where)
        fsm_pruned_free(&pruned)
