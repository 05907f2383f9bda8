"""The checks of `slipway doctor`, one module for each area.

A check is a function from the `DoctorContext` to `Finding`s. It does not depend on other checks, changes nothing, and
reports how to fix each problem.
"""
