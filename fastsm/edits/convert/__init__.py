"""A SavedModel of what TF1's Saver and its tools wrote: a checkpoint with its graph, or a frozen
graph.

    origin     what lies at a path, and saved_model.pb around its bytes
    proposal   which tensors a caller would send and take
    roles      what is no part of a model: it trains, saves, sums up, or tells
    losses     what is computed for training alone: the loss, and what labels make
    flow       which nodes of a graph depend on which
    variables  the variables that it has, and how each gets its value
    saver      the code that restores: as it is there, or made anew
    init       what else loading has to run
    files      the files that its tables read, as assets
    model      all of it, as edits of one draft
"""
