"""The checks of `slipway doctor`, one module for each area.

A check is a function from the `DoctorContext` to `Finding`s. It depends on no other check, leaves nothing changed, and
reports how to fix each problem that it finds.
"""
