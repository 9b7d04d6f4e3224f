"""The MIDI file format: from bytes to events.

A file consists of chunks. A chunk is four letters, its length in four bytes, most significant byte
first, and then that many bytes:

    MThd  6      format, number of tracks, ticks per beat: two bytes each
    MTrk  12345  the events of the first track
    MTrk  678    the events of the second track, which begins at the same time

An event is a delta time, the ticks that pass before it, and a message. The first byte of a message,
at least 0x80, is its status; the data bytes after it are below 0x80:

    0x80 + channel  note, velocity     the note ends
    0x90 + channel  note, velocity     the note begins; with velocity 0 it ends
    0xA0 + channel  note, pressure     0xB0 control, value     0xE0 two bytes of pitch bend
    0xC0 + channel  program            0xD0 pressure
    0xF0 or 0xF7    length, bytes      "system exclusive": for one make of instrument
    0xFF            type, length, bytes    a meta event: a text, a tempo, the end of the track

A message with the same status as the one before may leave it out ("running status"): if a byte
below 0x80 stands where a status should, the last status still holds. Delta times and the lengths of
events take one to four bytes, seven bits in each; the highest bit says that another byte follows.

`read_events` is one loop over these bytes. It trusts nothing: before each byte it checks that the
byte is there. What a program does about a file that is wrong is in midi_tracks.py.

The loop is an operation, which a backend may compile as it stands. So it handles integers alone:
it returns a number, not a text, that says why it stopped.
"""

from tinyembed.backends.dispatch import operation

NOTE_OFF, NOTE_ON, PROGRAM, PRESSURE, SYSTEM = 0x80, 0x90, 0xC0, 0xD0, 0xF0
SYSEX, ESCAPE, META = 0xF0, 0xF7, 0xFF
END_OF_TRACK, TEMPO, TIME_SIGNATURE = 0x2F, 0x51, 0x58  # types of meta events

# Why `read_events` stopped.
DONE = 0  # every byte was read, and the last event was whole
ENDED = 1  # an end-of-track event
CUT = 2  # the bytes end in the middle of an event
NO_STATUS = 3  # a data byte, and no status before it
UNDEFINED = 4  # a status that MIDI does not define
TOO_LONG = 5  # a delta time or a length of more than four bytes

LONGEST_NUMBER = 1 << 28  # four bytes of seven bits

COLUMNS = ("int64", "uint8", "uint8", "int32")  # what `read_events` writes, one row per event


def read_number(data, at, end):
    """Read a number of one to four bytes, seven bits in each.

    Returns the number and the position after it, or -CUT or -TOO_LONG and the position.
    """
    number = 0
    while at < end:
        byte = data[at]
        at += 1
        number = number << 7 | byte & 0x7F
        if number >= LONGEST_NUMBER:
            return -TOO_LONG, at
        if byte < 0x80:
            return number, at
    return -CUT, at


@operation
def read_events(data, at, end, time, running, n, times, statuses, firsts, seconds):
    """Read the events of a track, up to an end-of-track event or `end`.

    data: bytes; at, end: the part of them to read; time: the ticks before it; running: the last
    status, or 0; n: the first row to write. One row per channel message and meta event is written
    into four arrays of the types `COLUMNS`, or memoryviews of them:
        times     in ticks from the beginning of the track
        statuses  0x80 to 0xEF, or 0xFF for a meta event
        firsts    the first data byte; the type of a meta event
        seconds   the second data byte, or 0; where in `data` the length of a meta event stands
    An event takes at least two bytes, so that (end - at) / 2 rows are enough.

    Returns why it stopped; at, time, running and n as they are then, where `at` is the beginning of
    an event that is not whole or not valid; and whether a running status went on after a system
    or meta event. The standard says that these end it, but many programs go on, and so does this.
    """
    after_system, resumed = -1, False
    while at < end:
        start = at
        delta = data[at]
        at += 1
        if delta >= 0x80:
            delta, at = read_number(data, start, end)
            if delta < 0:
                return -delta, start, time, running, n, resumed
        if at == end:
            return CUT, start, time, running, n, resumed
        status = data[at]
        if status >= 0x80:
            at += 1
        elif running:
            status = running
            resumed = resumed or after_system == n
        else:
            return NO_STATUS, start, time, running, n, resumed
        time += delta

        if status < SYSTEM:
            running = status
            size = 1 if PROGRAM <= status < PRESSURE + 16 else 2
            if at + size > end:
                return CUT, start, time, running, n, resumed
            times[n] = time
            statuses[n] = status
            firsts[n] = data[at]
            seconds[n] = data[at + 1] if size == 2 else 0
            n += 1
            at += size
        elif status == META:
            if at == end:
                return CUT, start, time, running, n, resumed
            times[n] = time
            statuses[n] = META
            firsts[n] = data[at]
            seconds[n] = at + 1
            size, at = read_number(data, at + 1, end)
            if size < 0:
                return -size, start, time, running, n, resumed
            if at + size > end:
                return CUT, start, time, running, n, resumed
            at += size
            n += 1
            after_system = n
            if firsts[n - 1] == END_OF_TRACK:
                return ENDED, at, time, running, n, resumed
        else:
            if status in (SYSEX, ESCAPE):
                size, at = read_number(data, at, end)
            else:
                size = _system_size(status)
            if size < 0:
                return -size, start, time, running, n, resumed
            if at + size > end:
                return CUT, start, time, running, n, resumed
            at += size
            after_system = n
    return DONE, at, time, running, n, resumed


def _system_size(status):
    """The number of data bytes of any other system message, or -UNDEFINED."""
    if status in (0xF1, 0xF3):  # time code, song select
        return 1
    if status == 0xF2:  # song position
        return 2
    if status in (0xF4, 0xF5, 0xF9, 0xFD):
        return -UNDEFINED
    return 0  # tune request, and the messages of a clock
