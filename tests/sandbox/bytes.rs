//! Components that no toolchain makes: written byte by byte, to be hard on whoever compiles or links them.
//! What core code does when it runs is in `guests`.

use crate::sandbox::guests::Refused;

const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A number as the binary format writes it.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The same where a negative one could stand too.
fn signed(value: usize) -> Vec<u8> {
    let mut bytes = number(value);
    // The highest of the seven bits is the sign.
    if let Some(last) = bytes.last_mut().filter(|last| **last & 0x40 != 0) {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}

/// A section with its length before it.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], number(content.len()).as_slice(), content].concat()
}

/// A component of so many empty core modules.
fn modules(count: usize) -> Vec<u8> {
    [PREAMBLE, &section(1, MODULE).repeat(count)].concat()
}

/// Components, each within the one before it.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(PREAMBLE.to_vec(), |inner, _| [PREAMBLE, &section(4, &inner)].concat())
}

/// So many types, each a list of the one before it.
fn chained(length: usize) -> Vec<u8> {
    // The first is a list of texts; 0x70 is a list of what is named by its number.
    let first = [0x70, 0x73].to_vec();
    let chain = (0..length - 1).map(|before| [&[0x70], signed(before).as_slice()].concat());
    let types: Vec<u8> = std::iter::once(first).chain(chain).flatten().collect();
    [PREAMBLE, &section(7, &[number(length), types].concat())].concat()
}

/// One function of so many nested blocks, which take the compiler time by their square: 100,000 of them about twenty seconds.
pub(crate) fn blocks(depth: usize) -> Vec<u8> {
    let code = [vec![0], [2, 0x40].repeat(depth), [0x0b].repeat(depth + 1)].concat();
    let function = [number(code.len()), code].concat();
    let module =
        [MODULE, &section(1, &[1, 0x60, 0, 0]), &section(3, &[1, 0]), &section(10, &[vec![1], function].concat())];
    [PREAMBLE, &section(1, &module.concat())].concat()
}

/// S25.
pub(crate) fn hard_to_compile() -> Vec<Refused> {
    let row = |file, bytes, reason| Refused { file, bytes, reason };
    vec![
        row("s25-20000-modules", modules(20_000), "can't be compiled"),
        row("s25-2000-nested", nested(2_000), ""),
        row("s25-chained-types", chained(100_000), ""),
        row("s25-nested-blocks", blocks(20_000), ""),
    ]
}

/// S32: an import by its right name and of a wrong type, and one that is no interface.
pub(crate) fn of_wrong_types() -> Vec<Refused> {
    let lifecycle = "(instance $none) (export \"jobmill:job/lifecycle@0.1.0\" (instance $none))";
    let row = |file, imports: &str, reason| {
        let text = format!("(component {imports} {lifecycle})");
        Refused { file, bytes: wat::parse_str(text).expect("well-formed text"), reason }
    };
    vec![
        row(
            "s32-wrong-type",
            "(import \"jobmill:job/log@0.1.0\" (instance (export \"log\" (func (param \"level\" u32)))))",
            "log",
        ),
        row("s32-root-function", "(import \"steal\" (func))", "steal"),
    ]
}
