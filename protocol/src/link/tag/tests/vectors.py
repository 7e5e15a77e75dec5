#!/usr/bin/env python3
"""The tag of version 3 by docs/protocol.md alone, in big integers: prints the values that vectors.rs holds.

    python3 protocol/src/link/tag/tests/vectors.py > protocol/src/link/tag/tests/vectors.rs
"""

M64 = (1 << 64) - 1
M128 = (1 << 128) - 1


def sip(key, data):
    """SipHash-2-4 of bytes, as an integer."""

    def rotl(x, n):
        return (x << n | x >> (64 - n)) & M64

    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & M64
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & M64
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & M64
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & M64
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    whole = len(data) // 8 * 8
    words = [data[at : at + 8] for at in range(0, whole, 8)]
    words.append(data[whole:].ljust(7, b"\0") + bytes([len(data) & 0xFF]))
    for word in words:
        word = int.from_bytes(word, "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


assert sip(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5  # from the paper


def tag(secret, session, ports, counter, before, rest):
    derived = lambda number: sip(secret, b"JLB seal" + number.to_bytes(8, "big"))
    message = len(rest).to_bytes(8, "little") + ((ports[0] << 16) | ports[1]).to_bytes(8, "little")
    message += before[:16] + rest + bytes(-len(rest) % 16)
    words = [int.from_bytes(message[at : at + 8], "little") for at in range(0, len(message), 8)]
    keys = [derived(2 + at) for at in range(len(words))]
    sums = [(word + key) & M64 for word, key in zip(words, keys)]
    nh = sum(sums[at] * sums[at + 1] for at in range(0, len(sums), 2)) & M128
    key = derived(0).to_bytes(8, "little") + derived(1).to_bytes(8, "little")
    return sip(key, session + nh.to_bytes(16, "little") + counter.to_bytes(7, "little"))


def session(sender, worker, incarnation, receiver, source, destination):
    numbers = sender.to_bytes(2, "big") + bytes([worker, 0]) + incarnation.to_bytes(4, "big")
    return numbers + receiver.to_bytes(4, "big") + bytes(4) + source + destination


mapped = lambda last: bytes(10) + b"\xff\xff" + bytes([10, 0, 0, last])
secret = bytes(range(16))
print("// Written by vectors.py.")
print("pub(super) const VECTORS: &[(usize, u64, u64)] = &[")
for length, counter in [(0, 1), (1, 2), (3, 3), (4, 4), (7, 5), (8, 6), (11, 7), (15, 8), (16, 9), (52, 10), (76, 1 << 40), (1500, (1 << 56) - 1)]:
    before = bytes((7 * at + 1) & 0xFF for at in range(32))
    rest = bytes((13 * at + length) & 0xFF for at in range(length))
    value = tag(secret, session(1, 2, 100, 200, mapped(1), mapped(2)), (50001, 6081), counter, before, rest)
    print(f"    ({length}, {counter}, 0x{value:016x}),")
print("];")
