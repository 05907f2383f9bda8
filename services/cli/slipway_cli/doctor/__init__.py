"""What `slipway doctor` looks at, a module an area.

A check is a function from the `Subject` to `Finding`s. It knows no other check, changes nothing that stays, and says
with everything that is wrong how to mend it.
"""
