"""The child's door: ``python .../fastsm/proof/child``, with a pipe at each end.

What it prints first is which Python this is. Any Python 3 can read this file.
"""

import os
import sys


def main() -> None:
    sys.stdout.write('{"python": "' + sys.version.split()[0] + '"}\n')
    sys.stdout.flush()
    folder = os.path.dirname(os.path.abspath(__file__))
    # Run as a folder, it is the first place where modules are looked for; ours are called
    # inputs, compare and run, as others' may be.
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != folder]
    from importlib import import_module, util

    place = os.path.join(folder, "__init__.py")
    spec = util.spec_from_file_location("fastsm_child", place, submodule_search_locations=[folder])
    assert spec is not None
    sys.modules["fastsm_child"] = util.module_from_spec(spec)
    import_module("fastsm_child.zygote").serve()


if __name__ == "__main__":
    main()
