"""The lock beside a store: who may hold it together, who waits for whom, and what a wait given up leaves."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest
from portalocker import LockFlags

from chatlab.store.lease import Lease, open_lock_file, try_lock
from chatlab.store.presence import Presence


@pytest.fixture
def store(tmp_path):
    return tmp_path / "lab.duckdb"


@pytest.mark.parametrize(
    ("held", "wanted", "together"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
    ids=["reader and reader", "reader, then writer", "writer, then reader", "writer and writer"],
)
def test_readers_share_and_a_writer_is_alone(store, held, wanted, together):
    with Lease(store).hold(exclusive=held, timeout_s=1):
        if together:
            with Lease(store).hold(exclusive=wanted, timeout_s=0):
                pass
        else:
            with pytest.raises(TimeoutError), Lease(store).hold(exclusive=wanted, timeout_s=0):
                pass
    with Lease(store).hold(exclusive=True, timeout_s=1):
        pass  # nothing is left locked, not even by the wait that was given up


def test_a_lease_is_wanted_while_somebody_waits_for_it(store):
    lease = Lease(store)
    with lease.hold(exclusive=True, timeout_s=1):
        assert not lease.is_wanted()
        waiter = threading.Thread(target=lambda: exit_at_once(store))
        waiter.start()
        wait_until_somebody_queues(store)
        assert lease.is_wanted()
    waiter.join()
    assert not lease.is_wanted()


def exit_at_once(store):
    with Lease(store).hold(exclusive=False, timeout_s=10):
        pass


def test_whoever_waits_gets_the_lock_when_it_is_free(store):
    order = []

    def write():
        with Lease(store).hold(exclusive=True, timeout_s=10):
            order.append("written")

    with Lease(store).hold(exclusive=False, timeout_s=1):
        writer = threading.Thread(target=write)
        writer.start()
        wait_until_somebody_queues(store)
        order.append("read")
    writer.join()
    assert order == ["read", "written"]


def test_a_reader_that_comes_later_does_not_overtake_a_waiting_writer(store):
    written = threading.Event()

    def write():
        with Lease(store).hold(exclusive=True, timeout_s=10):
            written.set()

    with Lease(store).hold(exclusive=False, timeout_s=1):
        writer = threading.Thread(target=write)
        writer.start()
        wait_until_somebody_queues(store)
        with pytest.raises(TimeoutError), Lease(store).hold(exclusive=False, timeout_s=0):
            pass
    writer.join()
    assert written.is_set()


def wait_until_somebody_queues(store):
    descriptor = open_lock_file(store.with_name("lab.duckdb.turn.lock"))
    while try_lock(descriptor, LockFlags.SHARED):
        os.close(descriptor)
        descriptor = open_lock_file(store.with_name("lab.duckdb.turn.lock"))
    os.close(descriptor)


def test_a_place_without_the_folder_is_an_error_and_not_a_wait(tmp_path):
    with pytest.raises(FileNotFoundError), Lease(tmp_path / "none" / "lab").hold(exclusive=True, timeout_s=1):
        pass


def test_a_process_is_alive_from_announce_to_leave_and_then_buried(store):
    here, there = Presence(store, "p-here"), Presence(store, "p-there")
    here.announce()
    there.announce()
    assert here.living() == {"p-here", "p-there"}
    os.close(there._descriptor)  # as the kernel does when a process is killed
    assert here.living() == {"p-here"}
    here.bury()
    assert [file.name for file in here._files()] == ["p-here"]
    here.leave()
    assert here._files() == []


def test_a_presence_whose_folder_was_removed_is_announced_anew(store):
    presence = Presence(store, "p-1")
    presence.announce()
    for file in presence._files():
        file.unlink()
    presence.announce()
    assert presence.living() == {"p-1"}
    presence.leave()


def test_the_holder_is_named_while_it_holds(store):
    presence = Presence(store, "p-1")
    presence.announce()
    with presence.note("writing", datetime(2026, 11, 20, tzinfo=UTC)):
        [holder] = presence.holders()
    assert str(holder) == f"pid {os.getpid()} on {holder.host} (writing since 2026-11-20T00:00:00+00:00)"
    assert presence.holders() == []
    presence.leave()
