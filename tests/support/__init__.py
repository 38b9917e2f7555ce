"""What tests of several kinds share: builders, servers that really run, pages, people.

A test imports from here and from no other test. Every server started here has ports and folders of
its own and ends with whoever asked for it.
"""
