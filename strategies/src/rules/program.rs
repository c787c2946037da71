//! Expressions as programs for a machine with a few registers: what runs per record.
//!
//! Invariant: a program reads the record's bytes by offsets that were checked against the stream's
//! length, its constants, and its inputs, and nothing else; it has no loops, and no input makes it
//! panic. An overflow or a division by zero is NULL and counted.

use std::sync::Arc;

use corelane_feeds::schema::SqlType;

use super::catalog::Column;
use super::expr::{Arith, Call, Compare, Node, TextCall, Typed, power_of_ten};
use super::table::Index;
use super::types::{Text, Type, Value};
use crate::functions::Scalar;
pub(super) use column::WordColumn;
use column::{load_of, loaded};
use conjunction::Comparison;
pub(super) use scalar::trimmed;
use scalar::{
    and, arith_double, arith_int, call_double, call_int, compares, from_double, is_like, known, or,
    rounded, takes_two,
};
use text::{MADE, Made};

/// Registers of the machine: levels of an expression.
pub(super) const REGISTERS: usize = 64;
/// The space of a [`Text`] that lies among a program's constants.
const CONSTANTS: u8 = 1;

/// What an instruction does. `a` and `b` are registers, `dst` is where the result goes; `dst` is
/// `a` wherever there are two.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Code {
    Null,
    Constant(u32),
    Input(u32),
    Load(SqlType, u32),
    /// The same of a column that a mask can make NULL: offset, where the mask stands, its bit.
    LoadMasked(SqlType, u16, u16, u8),
    Text(Text),
    /// The same of a text that a mask can make NULL: length, offset, mask, bit.
    TextMasked(u8, u16, u16, u8),
    Not,
    And,
    Or,
    IsNull,
    NegInt,
    NegDouble,
    Int(Arith),
    Double(Arith),
    /// A product of decimals, to be divided by the constant.
    MulDecimal(u32),
    /// A quotient of decimals, its numerator times the constant first.
    DivDecimal(u32),
    CompareInt(Compare),
    CompareDouble(Compare),
    CompareText(Compare),
    Like(u32),
    /// `dst` stays if it is known, else becomes `b`.
    Coalesce,
    /// `dst` becomes register `b` if register `a` is true.
    Select,
    /// Times a constant.
    ScaleUp(u32),
    /// Divided by a constant, rounded half away from zero.
    ScaleDown(u32),
    /// An integer, divided by a constant, as a double.
    ToDouble(u32),
    /// A double times a constant, rounded, as an integer.
    FromDouble(u32),
    CallInt(Call),
    CallDouble(Call),
    Length,
    /// A function that Rust brought, of the registers from `dst` on.
    Scalar(u32),
    /// Whether the value is a key of the table of that number.
    InTable(u32),
    /// A text made of the registers from `dst` on.
    MakeText(u32),
}

#[derive(Copy, Clone, Debug)]
struct Op {
    code: Code,
    dst: u8,
    a: u8,
    b: u8,
}

/// A compiled expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    ops: Vec<Op>,
    constants: Vec<u64>,
    texts: Vec<u8>,
    patterns: Vec<String>,
    functions: Vec<(Scalar, Vec<Type>)>,
    tables: Vec<(Arc<Index>, Type)>,
    text_calls: Vec<TextCall>,
    /// What it is, if it is a condition of this simple form.
    conjunction: Option<Box<[Comparison]>>,
    /// Where it reads, if it is a column that is a word as it stands.
    word: Option<WordColumn>,
}

/// What programs compute in, and what went wrong in them.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    registers: [Value; REGISTERS],
    made: Made,
    /// Overflows, divisions by zero and results that are no number.
    pub(super) undefined: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self { registers: [Value::NULL; REGISTERS], made: Made::default(), undefined: 0 }
    }
}

/// The expression needs more registers than there are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct TooDeep;

impl Program {
    /// Compiles an expression. `input` says which input an aggregate is.
    ///
    /// # Errors
    /// If it is nested too deeply.
    pub(super) fn compile(
        expr: &Typed,
        input: &dyn Fn(usize, usize) -> usize,
    ) -> Result<Self, TooDeep> {
        let mut program = Self::default();
        program.emit(expr, 0, input)?;
        program.look_through();
        Ok(program)
    }

    /// Notes what it is in short.
    fn look_through(&mut self) {
        self.conjunction = conjunction::of(&self.ops, &self.constants);
        self.word = self.as_word().filter(|word| word.is_number());
    }

    /// Gives every input the number that it turned out to have.
    pub(super) fn number_inputs(&mut self, number: &dyn Fn(usize) -> usize) {
        for op in &mut self.ops {
            if let Code::Input(input) = &mut op.code {
                *input = number(*input as usize) as u32;
            }
        }
        self.look_through();
    }

    /// Whether it is this column and nothing else.
    pub(super) fn is_column(&self, column: Column) -> bool {
        matches!(self.ops.as_slice(), [op] if op.code == load_of(column))
    }

    /// Instructions.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    fn push(&mut self, code: Code, dst: u8, b: u8) {
        self.ops.push(Op { code, dst, a: dst, b });
    }

    fn constant(&mut self, bits: u64) -> u32 {
        let at = self.constants.iter().position(|&constant| constant == bits);
        at.unwrap_or_else(|| {
            self.constants.push(bits);
            self.constants.len() - 1
        }) as u32
    }

    fn emit(
        &mut self,
        expr: &Typed,
        dst: u8,
        input: &dyn Fn(usize, usize) -> usize,
    ) -> Result<(), TooDeep> {
        // A condition needs two registers above its own.
        if usize::from(dst) + 3 > REGISTERS {
            return Err(TooDeep);
        }
        match &expr.node {
            Node::Null => self.push(Code::Null, dst, 0),
            Node::Int(value) => {
                let constant = self.constant(value.cast_unsigned());
                self.push(Code::Constant(constant), dst, 0);
            }
            Node::Double(value) => {
                let constant = self.constant(value.to_bits());
                self.push(Code::Constant(constant), dst, 0);
            }
            Node::Text(text) => {
                let offset = self.texts.len() as u32;
                self.texts.extend_from_slice(text.as_bytes());
                let text = Text { space: CONSTANTS, len: text.len() as u8, offset };
                self.push(Code::Text(text), dst, 0);
            }
            Node::Column(column) => self.push(load_of(*column), dst, 0),
            Node::Window { window, aggregate } => {
                self.push(Code::Input(input(*window, *aggregate) as u32), dst, 0);
            }
            Node::Not(inner) => self.unary(Code::Not, inner, dst, input)?,
            Node::IsNull(inner) => self.unary(Code::IsNull, inner, dst, input)?,
            Node::Neg(inner) => {
                let code = if inner.ty == Type::Double { Code::NegDouble } else { Code::NegInt };
                self.unary(code, inner, dst, input)?;
            }
            Node::And(left, right) => self.binary(Code::And, left, right, dst, input)?,
            Node::Or(left, right) => self.binary(Code::Or, left, right, dst, input)?,
            Node::Arith(op, left, right) => {
                let code = self.arith(*op, expr.ty, left.ty == right.ty);
                self.binary(code, left, right, dst, input)?;
            }
            Node::Compare(op, left, right) => {
                let code = match left.ty {
                    Type::Double => Code::CompareDouble(*op),
                    Type::Text(_) => Code::CompareText(*op),
                    _ => Code::CompareInt(*op),
                };
                self.binary(code, left, right, dst, input)?;
            }
            Node::Like(inner, pattern) => {
                self.patterns.push(pattern.clone());
                let code = Code::Like(self.patterns.len() as u32 - 1);
                self.unary(code, inner, dst, input)?;
            }
            Node::Case(branches, otherwise) => {
                match otherwise {
                    Some(otherwise) => self.emit(otherwise, dst, input)?,
                    None => self.push(Code::Null, dst, 0),
                }
                // The last branch first, so that an earlier one that is true wins.
                for (condition, result) in branches.iter().rev() {
                    self.emit(condition, dst + 1, input)?;
                    self.emit(result, dst + 2, input)?;
                    self.ops.push(Op { code: Code::Select, dst, a: dst + 1, b: dst + 2 });
                }
            }
            Node::Coalesce(all) => {
                let Some((first, rest)) = all.split_first() else {
                    self.push(Code::Null, dst, 0);
                    return Ok(());
                };
                self.emit(first, dst, input)?;
                for other in rest {
                    self.emit(other, dst + 1, input)?;
                    self.push(Code::Coalesce, dst, dst + 1);
                }
            }
            Node::Call(call, args) => {
                let code = match (call, args.first().map(|arg| arg.ty)) {
                    (Call::Length, _) => Code::Length,
                    (_, Some(Type::Double)) => Code::CallDouble(*call),
                    _ => Code::CallInt(*call),
                };
                for (i, arg) in args.iter().take(2).enumerate() {
                    self.emit(arg, dst + i as u8, input)?;
                }
                self.push(code, dst, dst + 1);
            }
            Node::Scalar(function, args) => {
                for (at, arg) in (dst..).zip(args) {
                    self.emit(arg, at, input)?;
                }
                self.functions.push((*function, args.iter().map(|arg| arg.ty).collect()));
                self.push(Code::Scalar(self.functions.len() as u32 - 1), dst, 0);
            }
            Node::TextCall(call, args) => {
                for (at, arg) in (dst..).zip(args) {
                    self.emit(arg, at, input)?;
                }
                self.text_calls.push(call.clone());
                self.push(Code::MakeText(self.text_calls.len() as u32 - 1), dst, 0);
            }
            Node::InTable(table, inner) => {
                let code = self.in_table(table, inner.ty);
                self.unary(code, inner, dst, input)?;
            }
            Node::Cast(inner) => self.cast(inner, expr.ty, dst, input)?,
        }
        Ok(())
    }

    fn arith(&mut self, op: Arith, ty: Type, alike: bool) -> Code {
        match (ty, op) {
            (Type::Double, _) => Code::Double(op),
            // A decimal times an integer is a whole number of the decimal's units.
            (Type::Decimal(scale), Arith::Mul) if alike => {
                // Both sides have the result's scale: one of the two is to go.
                Code::MulDecimal(self.constant(power_of_ten(scale).cast_unsigned()))
            }
            (Type::Decimal(scale), Arith::Div) => {
                Code::DivDecimal(self.constant(power_of_ten(scale).cast_unsigned()))
            }
            _ => Code::Int(op),
        }
    }

    fn cast(
        &mut self,
        inner: &Typed,
        ty: Type,
        dst: u8,
        input: &dyn Fn(usize, usize) -> usize,
    ) -> Result<(), TooDeep> {
        let scale = |ty| match ty {
            Type::Decimal(scale) => scale,
            _ => 0,
        };
        let (from, to) = (scale(inner.ty), scale(ty));
        let code = match (inner.ty, ty) {
            (Type::Double, Type::Double) => None,
            (_, Type::Double) => Some(Code::ToDouble(self.power(from))),
            (Type::Double, _) => Some(Code::FromDouble(self.power(to))),
            _ if to > from => Some(Code::ScaleUp(self.power(to - from))),
            _ if to < from => Some(Code::ScaleDown(self.power(from - to))),
            _ => None,
        };
        self.emit(inner, dst, input)?;
        if let Some(code) = code {
            self.push(code, dst, 0);
        }
        Ok(())
    }

    fn power(&mut self, scale: u8) -> u32 {
        self.constant(power_of_ten(scale).cast_unsigned())
    }

    fn unary(
        &mut self,
        code: Code,
        inner: &Typed,
        dst: u8,
        input: &dyn Fn(usize, usize) -> usize,
    ) -> Result<(), TooDeep> {
        self.emit(inner, dst, input)?;
        self.push(code, dst, 0);
        Ok(())
    }

    fn binary(
        &mut self,
        code: Code,
        left: &Typed,
        right: &Typed,
        dst: u8,
        input: &dyn Fn(usize, usize) -> usize,
    ) -> Result<(), TooDeep> {
        self.emit(left, dst, input)?;
        self.emit(right, dst + 1, input)?;
        self.push(code, dst, dst + 1);
        Ok(())
    }

    /// The value for a record's bytes and inputs. A column beyond the record's end is NULL.
    #[inline]
    pub(super) fn run(&self, machine: &mut Machine, record: &[u8], inputs: &[Value]) -> Value {
        // A column alone, as most keys and arguments are, needs no registers.
        if let Some(value) = self.word.and_then(|word| word.read(record)) {
            return value;
        }
        self.run_further(machine, record, inputs)
    }

    #[inline(never)]
    fn run_further(&self, machine: &mut Machine, record: &[u8], inputs: &[Value]) -> Value {
        if let Some(value) = self.column(record) {
            return value.unwrap_or_else(|| {
                machine.undefined += 1;
                Value::NULL
            });
        }
        if !self.text_calls.is_empty() {
            machine.made.clear();
        }
        for op in &self.ops {
            let value = match op.code {
                Code::MakeText(at) => self.make_text(at, op.dst, machine, record),
                _ => self.step(*op, machine, record, inputs),
            };
            let Some(value) = value else {
                machine.undefined += 1;
                machine.set(op.dst, Value::NULL);
                continue;
            };
            machine.set(op.dst, value);
        }
        machine.get(0)
    }

    /// Whether its value for a record's bytes and inputs is true.
    #[inline]
    pub(super) fn holds(&self, machine: &mut Machine, record: &[u8], inputs: &[Value]) -> bool {
        match &self.conjunction {
            Some(all) => all.iter().all(|comparison| comparison.holds(record, inputs)),
            None => self.run(machine, record, inputs).is_true(),
        }
    }

    /// The bytes of a text that [`Program::run`] returned, with what the machine made last.
    #[must_use]
    pub(super) fn text<'a>(&'a self, value: Value, record: &'a [u8], made: &'a [u8]) -> &'a [u8] {
        let text = Text::from_bits(value.bits);
        let space = match text.space {
            CONSTANTS => &self.texts[..],
            MADE => made,
            _ => record,
        };
        let start = text.offset as usize;
        trimmed(space.get(start..start + usize::from(text.len)).unwrap_or_default())
    }

    /// One instruction; `None` is an undefined result, which is NULL and counted.
    #[inline]
    fn step(&self, op: Op, machine: &Machine, record: &[u8], inputs: &[Value]) -> Option<Value> {
        let Op { code, dst, a, b } = op;
        let (a, b) = (machine.get(a), machine.get(b));
        let constant = |at: u32| self.constants.get(at as usize).copied().unwrap_or_default();
        let factor = |at: u32| i128::from(constant(at).cast_signed());
        Some(match code {
            Code::Null => Value::NULL,
            Code::Constant(at) => Value { bits: constant(at), known: true },
            Code::Input(at) => inputs.get(at as usize).copied().unwrap_or(Value::NULL),
            Code::Load(..) | Code::LoadMasked(..) | Code::Text(_) | Code::TextMasked(..) => {
                return loaded(code, record)?;
            }
            Code::Not => Value { bits: u64::from(a.known && a.bits == 0), known: a.known },
            Code::And => and(a, b),
            Code::Or => or(a, b),
            Code::IsNull => Value::bool(!a.known),
            Code::Coalesce => {
                if a.known {
                    a
                } else {
                    b
                }
            }
            Code::Select => {
                if a.is_true() {
                    b
                } else {
                    machine.get(dst)
                }
            }
            Code::Scalar(at) => return self.call(at, machine, dst, record),
            _ if !a.known => match code {
                Code::CallInt(Call::Greatest | Call::Least)
                | Code::CallDouble(Call::Greatest | Call::Least) => b,
                _ => Value::NULL,
            },
            Code::InTable(at) => Value::bool(self.is_in(at, a, record, machine.made())),
            Code::NegInt => Value::int(int(a).checked_neg()?),
            Code::NegDouble => Value::double(-double(a)),
            Code::ScaleUp(at) => Value::int(i64::try_from(i128::from(int(a)) * factor(at)).ok()?),
            Code::ScaleDown(at) => Value::int(rounded(i128::from(int(a)), factor(at))?),
            Code::ToDouble(at) => Value::double(int(a) as f64 / constant(at) as f64),
            Code::FromDouble(at) => from_double(double(a) * constant(at) as f64)?,
            Code::Length => Value::int(self.text(a, record, machine.made()).len() as i64),
            Code::Like(at) => {
                let pattern = self.patterns.get(at as usize)?;
                Value::bool(is_like(self.text(a, record, machine.made()), pattern.as_bytes()))
            }
            Code::CallInt(call) if b.known || !takes_two(call) => {
                Value::int(call_int(call, int(a), int(b))?)
            }
            Code::CallDouble(call) if b.known || !takes_two(call) => {
                known(Value::double(call_double(call, double(a), double(b))))?
            }
            Code::CallInt(Call::Greatest | Call::Least)
            | Code::CallDouble(Call::Greatest | Call::Least) => a,
            _ if !b.known => Value::NULL,
            Code::Int(op) => Value::int(arith_int(op, int(a), int(b))?),
            Code::Double(op) => known(Value::double(arith_double(op, double(a), double(b))))?,
            Code::MulDecimal(at) => {
                let product = i128::from(int(a)) * i128::from(int(b));
                Value::int(rounded(product, factor(at))?)
            }
            Code::DivDecimal(at) => {
                let numerator = i128::from(int(a)) * factor(at);
                Value::int(rounded(numerator, i128::from(int(b)))?)
            }
            Code::CompareInt(op) => Value::bool(compares(op, &int(a), &int(b))),
            Code::CompareDouble(op) => Value::bool(compares(op, &double(a), &double(b))),
            Code::CompareText(op) => Value::bool(compares(
                op,
                &self.text(a, record, machine.made()),
                &self.text(b, record, machine.made()),
            )),
            Code::CallInt(_) | Code::CallDouble(_) | Code::MakeText(_) => Value::NULL,
        })
    }
}

impl Machine {
    /// The texts that the last program made.
    #[inline]
    pub(super) fn made(&self) -> &[u8] {
        self.made.bytes()
    }

    #[inline]
    fn get(&self, at: u8) -> Value {
        self.registers[usize::from(at) % REGISTERS]
    }

    #[inline]
    fn set(&mut self, at: u8, value: Value) {
        self.registers[usize::from(at) % REGISTERS] = value;
    }
}

#[inline]
fn int(value: Value) -> i64 {
    value.bits.cast_signed()
}

#[inline]
fn double(value: Value) -> f64 {
    f64::from_bits(value.bits)
}

mod call;
mod column;
mod conjunction;
mod scalar;
#[cfg(test)]
mod tests;
mod text;
