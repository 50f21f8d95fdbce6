"""The editing verbs as users call them: a plan is made, committed, and checked on the way.

One module a verb; `editing` has what they share.
"""
