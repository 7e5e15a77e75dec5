// Written by vectors.py.
pub(super) const VECTORS: &[(usize, u64, u64)] = &[
    (0, 1, 0x5c39ec0b7dfec0d7),
    (1, 2, 0xd548b536e300016d),
    (3, 3, 0x460415e32a1ede17),
    (4, 4, 0x06a7afa346b50b69),
    (7, 5, 0x5875ade46e133ae3),
    (8, 6, 0x216bb55ea1a2fe04),
    (11, 7, 0x73985df1942cb8b2),
    (15, 8, 0x73d3551710dc1f63),
    (16, 9, 0x023541846598f23d),
    (52, 10, 0xeefb6cf460e16b65),
    (76, 1099511627776, 0x32d6ba52277f633e),
    (1500, 72057594037927935, 0xeedce1134335c2f2),
];
