//! Programs against an evaluation of the tree as it stands.

use proptest::prelude::*;

use super::column::{is_masked, load};
use super::*;

/// A typed tree over two integers, two decimals, a double, a truth value and NULLs.
fn tree() -> impl Strategy<Value = Typed> {
    leaf().prop_recursive(6, 60, 3, |inner| {
        prop_oneof![
            (any::<u8>(), inner.clone(), inner.clone()).prop_map(arith),
            (any::<u8>(), inner.clone(), inner.clone()).prop_map(comparison),
            (any::<bool>(), inner.clone(), inner.clone()).prop_map(connection),
            inner.clone().prop_map(|a| typed(Node::IsNull(Box::new(a)), Type::Bool)),
            inner.clone().prop_map(|a| typed(Node::Not(Box::new(truth(a))), Type::Bool)),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, a, b)| {
                let b = b.made_like(&a);
                let ty = a.ty;
                typed(Node::Case(vec![(truth(c), a)], Some(Box::new(b))), ty)
            }),
            (inner.clone(), inner).prop_map(|(a, b)| {
                let b = b.made_like(&a);
                let ty = a.ty;
                typed(Node::Coalesce(vec![a, b]), ty)
            }),
        ]
    })
}

fn typed(node: Node, ty: Type) -> Typed {
    Typed::new(node, ty, 0..0)
}

fn leaf() -> impl Strategy<Value = Typed> {
    let small = prop_oneof![-3i64..4, any::<i64>()];
    prop_oneof![
        small.clone().prop_map(|value| typed(Node::Int(value), Type::Int)),
        (small, 0u8..5).prop_map(|(value, scale)| typed(Node::Int(value), Type::Decimal(scale))),
        any::<f64>().prop_map(|value| {
            let value = if value.is_finite() { value } else { 1.5 };
            typed(Node::Double(value), Type::Double)
        }),
        any::<bool>().prop_map(|value| typed(Node::Int(i64::from(value)), Type::Bool)),
        Just(typed(Node::Null, Type::Int)),
    ]
}

impl Typed {
    /// The value in a type that goes with another's.
    fn made_like(self, other: &Typed) -> Typed {
        if self.ty.is_number() && other.ty.is_number() {
            self.to(other.ty)
        } else if self.ty == other.ty {
            self
        } else {
            typed(Node::Null, other.ty)
        }
    }
}

fn truth(inner: Typed) -> Typed {
    if inner.ty == Type::Bool { inner } else { typed(Node::IsNull(Box::new(inner)), Type::Bool) }
}

fn number(inner: Typed) -> Typed {
    if inner.ty.is_number() { inner } else { typed(Node::Int(2), Type::Int) }
}

fn arith((op, a, b): (u8, Typed, Typed)) -> Typed {
    let (a, b) = (number(a), number(b));
    let ty = match (a.ty, b.ty) {
        (Type::Double, _) | (_, Type::Double) => Type::Double,
        (Type::Decimal(a), Type::Decimal(b)) => Type::Decimal(a.max(b)),
        (Type::Decimal(a), _) | (_, Type::Decimal(a)) => Type::Decimal(a),
        _ => Type::Int,
    };
    let ops = [Arith::Add, Arith::Sub, Arith::Mul, Arith::Div, Arith::Rem];
    let op = ops[usize::from(op) % ops.len()];
    typed(Node::Arith(op, Box::new(a.to(ty)), Box::new(b.to(ty))), ty)
}

fn comparison((op, a, b): (u8, Typed, Typed)) -> Typed {
    let (a, b) = (number(a), number(b));
    let ty = if a.ty == Type::Double || b.ty == Type::Double { Type::Double } else { a.ty };
    let ops = [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];
    let op = ops[usize::from(op) % ops.len()];
    typed(Node::Compare(op, Box::new(a.to(ty)), Box::new(b.to(ty))), Type::Bool)
}

fn connection((is_and, a, b): (bool, Typed, Typed)) -> Typed {
    let make = if is_and { Node::And } else { Node::Or };
    typed(make(Box::new(truth(a)), Box::new(truth(b))), Type::Bool)
}

/// What SQL says: integers wide enough for any step, NULL as `None`.
#[derive(Copy, Clone, Debug, PartialEq)]
enum Naive {
    Int(i64),
    Double(f64),
}

fn narrow(value: i128) -> Option<Naive> {
    i64::try_from(value).ok().map(Naive::Int)
}

fn finite(value: f64) -> Option<Naive> {
    value.is_finite().then_some(Naive::Double(value))
}

fn half_away(n: i128, d: i128) -> Option<i128> {
    if d == 0 {
        return None;
    }
    let (quotient, rest) = (n / d, n % d);
    let up = rest.abs() * 2 >= d.abs();
    Some(if up { quotient + n.signum() * d.signum() } else { quotient })
}

fn naive(expr: &Typed) -> Option<Naive> {
    let scale = |ty| match ty {
        Type::Decimal(scale) => u32::from(scale),
        _ => 0,
    };
    let int = |expr: &Typed| match naive(expr) {
        Some(Naive::Int(value)) => Some(i128::from(value)),
        _ => None,
    };
    let holds = |expr: &Typed| int(expr).map(|value| value != 0);
    match &expr.node {
        Node::Null => None,
        Node::Int(value) => Some(Naive::Int(*value)),
        Node::Double(value) => Some(Naive::Double(*value)),
        Node::Not(a) => narrow(i128::from(!holds(a)?)),
        Node::IsNull(a) => narrow(i128::from(naive(a).is_none())),
        Node::And(a, b) => match (holds(a), holds(b)) {
            (Some(false), _) | (_, Some(false)) => narrow(0),
            (Some(true), Some(true)) => narrow(1),
            _ => None,
        },
        Node::Or(a, b) => match (holds(a), holds(b)) {
            (Some(true), _) | (_, Some(true)) => narrow(1),
            (Some(false), Some(false)) => narrow(0),
            _ => None,
        },
        Node::Arith(op, a, b) => match (naive(a)?, naive(b)?) {
            (Naive::Double(a), Naive::Double(b)) => finite(match op {
                Arith::Add => a + b,
                Arith::Sub => a - b,
                Arith::Mul => a * b,
                Arith::Div => a / b,
                Arith::Rem => a % b,
            }),
            (Naive::Int(x), Naive::Int(y)) => {
                let (x, y) = (i128::from(x), i128::from(y));
                let unit = 10i128.pow(scale(expr.ty));
                match op {
                    Arith::Add => narrow(x + y),
                    Arith::Sub => narrow(x - y),
                    Arith::Mul => narrow(half_away(x * y, unit)?),
                    Arith::Div if matches!(expr.ty, Type::Decimal(_)) => {
                        narrow(half_away(x * unit, y)?)
                    }
                    Arith::Div => narrow(x.checked_div(y)?),
                    // The least integer has no remainder by -1 that the machine would give.
                    Arith::Rem if x == i128::from(i64::MIN) && y == -1 => None,
                    Arith::Rem => narrow(x.checked_rem(y)?),
                }
            }
            _ => unreachable!("both sides are of one type"),
        },
        Node::Compare(op, a, b) => {
            let order = match (naive(a)?, naive(b)?) {
                (Naive::Double(a), Naive::Double(b)) => a.partial_cmp(&b)?,
                (Naive::Int(a), Naive::Int(b)) => a.cmp(&b),
                _ => unreachable!("both sides are of one type"),
            };
            let holds = match op {
                Compare::Eq => order.is_eq(),
                Compare::Ne => order.is_ne(),
                Compare::Lt => order.is_lt(),
                Compare::Le => order.is_le(),
                Compare::Gt => order.is_gt(),
                Compare::Ge => order.is_ge(),
            };
            narrow(i128::from(holds))
        }
        Node::Case(branches, otherwise) => {
            for (condition, result) in branches {
                if holds(condition) == Some(true) {
                    return naive(result);
                }
            }
            naive(otherwise.as_ref()?)
        }
        Node::Coalesce(all) => all.iter().find_map(naive),
        Node::Cast(inner) => match (naive(inner)?, expr.ty) {
            (Naive::Int(value), Type::Double) => {
                finite(value as f64 / 10f64.powi(scale(inner.ty) as i32))
            }
            (Naive::Double(value), _) => {
                let value = (value * 10f64.powi(scale(expr.ty) as i32)).round();
                let fits = value >= -(2f64.powi(63)) && value < 2f64.powi(63);
                fits.then_some(Naive::Int(value as i64))
            }
            (Naive::Int(value), _) => {
                let (from, to) = (scale(inner.ty), scale(expr.ty));
                let value = i128::from(value);
                if to >= from {
                    narrow(value * 10i128.pow(to - from))
                } else {
                    narrow(half_away(value, 10i128.pow(from - to))?)
                }
            }
        },
        _ => unreachable!("no such node is made here"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_program_means_what_its_tree_means(expr in tree()) {
        let program = Program::compile(&expr, &|_, _| 0).unwrap();
        let mut machine = Machine::default();
        let value = program.run(&mut machine, &[], &[]);
        let found = value.known.then(|| match expr.ty {
            Type::Double => Naive::Double(f64::from_bits(value.bits)),
            _ => Naive::Int(value.bits.cast_signed()),
        });
        prop_assert_eq!(found, naive(&expr), "{:?}", expr);
    }

    #[test]
    fn like_means_what_a_plain_search_means(text in "[ab]{0,8}", pattern in "[ab_%]{0,6}") {
        fn plain(text: &[u8], pattern: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'%', rest)) => (0..=text.len()).any(|skip| plain(&text[skip..], rest)),
                Some((&byte, rest)) => match text.split_first() {
                    Some((&first, text)) => (byte == b'_' || byte == first) && plain(text, rest),
                    None => false,
                },
            }
        }
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        prop_assert_eq!(is_like(text, pattern), plain(text, pattern));
    }
}

/// How a column is read as a word.
fn word_of(column: Column) -> Option<WordColumn> {
    let ty = Type::of(column.sql);
    Program::compile(&typed(Node::Column(column), ty), &|_, _| 0).unwrap().as_word()
}

/// A side of a comparison: a column of a short record, of any type that is a number, one that can
/// be NULL, an input, a constant; sometimes something else.
fn side() -> impl Strategy<Value = Typed> {
    let types = [
        SqlType::BigInt,
        SqlType::Int,
        SqlType::TinyIntUnsigned,
        SqlType::Boolean,
        SqlType::Timestamp,
        SqlType::BigIntUnsigned,
    ];
    let column = (prop::sample::select(types.to_vec()), 0usize..5, prop::option::of(0u8..8));
    let column = column.prop_map(|(sql, at, bit)| {
        let nulls = bit.map(|bit| (0, bit));
        typed(Node::Column(Column { sql, offset: 8 * at, nulls }), Type::Int)
    });
    prop_oneof![
        6 => column,
        2 => (0usize..3).prop_map(|aggregate| {
            typed(Node::Window { window: 0, aggregate }, Type::Int)
        }),
        3 => (-2i64..3).prop_map(|value| typed(Node::Int(value), Type::Int)),
        1 => (-2i64..3).prop_map(|value| {
            let value = Box::new(typed(Node::Int(value), Type::Int));
            typed(Node::Arith(Arith::Add, value.clone(), value), Type::Int)
        }),
    ]
}

fn condition() -> impl Strategy<Value = Typed> {
    let one = (any::<u8>(), side(), side()).prop_map(comparison);
    one.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            5 => (inner.clone(), inner.clone()).prop_map(|(a, b)| connection((true, a, b))),
            1 => (inner.clone(), inner).prop_map(|(a, b)| connection((false, a, b))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_condition_holds_where_its_value_is_true(
        expr in condition(),
        words in prop::collection::vec(prop_oneof![-2i64..3, any::<i64>()], 4),
        inputs in prop::collection::vec(prop::option::of(-2i64..3), 3),
    ) {
        let program = Program::compile(&expr, &|_, aggregate| aggregate).unwrap();
        let record: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let inputs: Vec<Value> =
            inputs.iter().map(|input| input.map_or(Value::NULL, Value::int)).collect();
        let (mut short, mut whole) = (Machine::default(), Machine::default());
        let holds = program.holds(&mut short, &record, &inputs);
        prop_assert_eq!(holds, program.run(&mut whole, &record, &inputs).is_true());
        prop_assert_eq!(short.undefined, whole.undefined);
    }

    #[test]
    fn a_short_text_is_the_word_of_what_is_not_filled(
        text in prop::collection::vec(prop::sample::select(b" \0aZ\xff\x01\x40".to_vec()), 8),
        len in 1u8..9,
        offset in 0u32..9,
    ) {
        let mut record = [7; 16];
        record[offset as usize..][..8].copy_from_slice(&text);
        let column = Column { sql: SqlType::Char(len), offset: offset as usize, nulls: None };
        let word = word_of(column).unwrap();
        let mut own = [0; 8];
        let known = trimmed(&text[..usize::from(len)]);
        own[..known.len()].copy_from_slice(known);
        let own = Value { bits: u64::from_le_bytes(own), known: true };
        prop_assert_eq!(word.read(&record), Some(own));
        prop_assert_eq!(word.read(&record[..offset as usize + 7]), None);
    }

    #[test]
    fn a_number_is_the_same_word_as_its_type_says(
        sql in prop::sample::select(vec![
            SqlType::BigInt, SqlType::Interval, SqlType::Price, SqlType::Decimal(3),
            SqlType::Timestamp, SqlType::BigIntUnsigned,
        ]),
        at in 0usize..4,
        bit in prop::option::of(0u8..24),
        words in prop::collection::vec(any::<u64>(), 3),
    ) {
        let nulls = bit.map(|bit| (1, bit));
        let column = Column { sql, offset: 8 * at, nulls };
        let record: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let is_null = bit.is_some_and(|bit| is_masked(&record, 1, bit));
        let value = if is_null { Some(Value::NULL) } else { load(sql, 8 * at, &record) };
        // What lies behind the record's end is left to the long way.
        let expect = value.filter(|value| is_null || value.known);
        prop_assert_eq!(word_of(column).unwrap().read(&record), expect);
        let program = Program::compile(&typed(Node::Column(column), Type::Int), &|_, _| 0).unwrap();
        let mut machine = Machine::default();
        prop_assert_eq!(program.run(&mut machine, &record, &[]), value.unwrap_or(Value::NULL));
        prop_assert_eq!(machine.undefined, u64::from(value.is_none()));
    }
}

#[test]
fn columns_are_read_where_they_are_and_as_what_they_are() {
    let mut record = [0u8; 40];
    record[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let column = |sql, offset| {
        let column = super::super::catalog::Column { sql, offset, nulls: None };
        let program = Program::compile(&typed(Node::Column(column), Type::Int), &|_, _| 0).unwrap();
        let mut machine = Machine::default();
        (program.run(&mut machine, &record, &[]), machine.undefined)
    };
    assert_eq!(column(SqlType::TinyIntUnsigned, 32), (Value::int(255), 0));
    assert_eq!(column(SqlType::IntUnsigned, 32), (Value::int(u32::MAX.into()), 0));
    assert_eq!(column(SqlType::BigInt, 32), (Value::int(-1), 0));
    assert_eq!(column(SqlType::BigIntUnsigned, 32), (Value::NULL, 1), "more than BIGINT holds");
    assert_eq!(column(SqlType::BigInt, 36), (Value::NULL, 0), "beyond the record");
}
