"""`dr-host` sets its process's umask, as a program may; here it runs inside the tests' process."""

import os

import pytest


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)
