"""Copies as they are found on the web, made on purpose: canaries of a build and figures of recall.

`geometry`, `surface` and `encoding` edit a picture, each by parameters drawn from a generator;
`kinds` names the edits.
"""
