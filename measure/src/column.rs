//! A struct as Parquet columns: each field is named, typed and documented once,
//! and that one list makes the struct, the schema, the writer and the reader.

use afferent_media::{Code, Error, Result};
use parquet::basic::{LogicalType, Repetition};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{Type, TypePtr};

/// A value that Parquet keeps as one of its physical types.
pub(crate) trait Value: Sized {
    type Physical: DataType;
    fn logical() -> Option<LogicalType> {
        None
    }
    fn to_physical(&self) -> <Self::Physical as DataType>::T;
    fn from_physical(value: <Self::Physical as DataType>::T) -> Option<Self>;
}

macro_rules! value {
    ($name:ty, $physical:ty, $logical:expr, $to:expr, $from:expr) => {
        impl Value for $name {
            type Physical = $physical;
            fn logical() -> Option<LogicalType> {
                $logical
            }
            fn to_physical(&self) -> <Self::Physical as DataType>::T {
                ($to)(self)
            }
            fn from_physical(value: <Self::Physical as DataType>::T) -> Option<Self> {
                ($from)(value)
            }
        }
    };
}

value!(bool, BoolType, None, |v: &bool| *v, Some);
value!(f64, DoubleType, None, |v: &f64| *v, Some);
value!(i64, Int64Type, None, |v: &i64| *v, Some);
value!(u64, Int64Type, Some(LogicalType::integer(64, false)), |v: &u64| v.cast_signed(), |v: i64| Some(
    v.cast_unsigned()
));
value!(u32, Int32Type, Some(LogicalType::integer(32, false)), |v: &u32| v.cast_signed(), |v: i32| Some(
    v.cast_unsigned()
));
value!(String, ByteArrayType, Some(LogicalType::String), |v: &String| ByteArray::from(v.as_str()), |v: ByteArray| {
    v.as_utf8().ok().map(str::to_owned)
});

/// A field of a row: a [`Value`], or an [`Option`] of one.
pub(crate) trait Column: Sized {
    type Value: Value;
    const REPETITION: Repetition;
    fn get(&self) -> Option<&Self::Value>;
    /// `None` if the field must have a value and there is none.
    fn from_value(value: Option<Self::Value>) -> Option<Self>;
}

impl<T: Value> Column for T {
    type Value = T;
    const REPETITION: Repetition = Repetition::REQUIRED;
    fn get(&self) -> Option<&T> {
        Some(self)
    }
    fn from_value(value: Option<T>) -> Option<Self> {
        value
    }
}

impl<T: Value> Column for Option<T> {
    type Value = T;
    const REPETITION: Repetition = Repetition::OPTIONAL;
    fn get(&self) -> Option<&T> {
        self.as_ref()
    }
    fn from_value(value: Option<T>) -> Option<Self> {
        Some(value)
    }
}

type Physical<C> = <<C as Column>::Value as Value>::Physical;
type Raw<C> = <Physical<C> as DataType>::T;

/// The schema of one column.
pub(crate) fn schema<C: Column>(name: &str) -> Result<TypePtr, ParquetError> {
    let column = Type::primitive_type_builder(name, Physical::<C>::get_physical_type())
        .with_repetition(C::REPETITION)
        .with_logical_type(C::Value::logical())
        .build()?;
    Ok(column.into())
}

/// Writes one column of a row group: the field `get` of each row.
pub(crate) fn write<R, C: Column>(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[R],
    get: impl Fn(&R) -> &C,
) -> Result<(), ParquetError> {
    let values: Vec<Raw<C>> = rows.iter().filter_map(|row| get(row).get()).map(Value::to_physical).collect();
    let levels: Option<Vec<i16>> = (C::REPETITION == Repetition::OPTIONAL)
        .then(|| rows.iter().map(|row| i16::from(get(row).get().is_some())).collect());
    writer.typed::<Physical<C>>().write_batch(&values, levels.as_deref(), None)?;
    Ok(())
}

/// What to do about a damaged file.
pub(crate) const DAMAGED: &str = "get the file again from its source, or seal the journal again";

/// Sets one field of each row from the next values of its column.
type Fill<R> = dyn FnMut(&mut [R]) -> Result<()> + Send;

/// Reads one column, batch by batch, into a field of rows.
pub(crate) struct Source<R> {
    read: Box<Fill<R>>,
}

impl<R> Source<R> {
    /// A source that fills the field `set` from the column `name` of `group`;
    /// `None` if the file has no such column, as one of another version may not.
    pub(crate) fn open<C: Column + 'static>(
        name: &'static str,
        group: &dyn RowGroupReader,
        set: impl Fn(&mut R) -> &mut C + Send + 'static,
    ) -> Result<Option<Self>>
    where
        Raw<C>: Send,
    {
        let schema = group.metadata().schema_descr_ptr();
        let Some((index, column)) =
            schema.columns().iter().enumerate().find(|(_, column)| column.path().string() == name)
        else {
            return Ok(None);
        };
        if column.physical_type() != Physical::<C>::get_physical_type() || column.max_rep_level() > 0 {
            return Err(Error::new(
                Code::Unsupported,
                format!("column `{name}` holds {}, not what this build reads there", column.physical_type()),
                "read the file with the build that wrote it",
            ));
        }
        let nullable = column.max_def_level() > 0;
        let reader = group
            .get_column_reader(index)
            .map_err(|e| Error::new(Code::Corrupt, format!("column `{name}` cannot be found"), DAMAGED).caused_by(e))?;
        let mut reader: ColumnReaderImpl<Physical<C>> = get_typed_column_reader(reader);
        let (mut values, mut levels) = (Vec::<Raw<C>>::new(), Vec::<i16>::new());
        let damaged = move |what: &str| Error::new(Code::Corrupt, format!("column `{name}` {what}"), DAMAGED);
        let read = move |rows: &mut [R]| {
            let mut done = 0;
            while done < rows.len() {
                values.clear();
                levels.clear();
                let (records, ..) = reader
                    .read_records(rows.len() - done, nullable.then_some(&mut levels), None, &mut values)
                    .map_err(|e| damaged("cannot be decoded").caused_by(e))?;
                if records == 0 {
                    return Err(damaged("ends before the others"));
                }
                let mut present = values.drain(..);
                for (index, row) in rows[done..].iter_mut().take(records).enumerate() {
                    let raw = if nullable && levels.get(index) != Some(&1) { None } else { present.next() };
                    let value = match raw {
                        None => None,
                        Some(raw) => Some(C::Value::from_physical(raw).ok_or_else(|| damaged("holds no UTF-8"))?),
                    };
                    *set(row) = C::from_value(value).ok_or_else(|| damaged("lacks a value that a row must have"))?;
                }
                done += records;
            }
            Ok(())
        };
        Ok(Some(Self { read: Box::new(read) }))
    }

    /// Fills the field in all of `rows`.
    pub(crate) fn fill(&mut self, rows: &mut [R]) -> Result<()> {
        (self.read)(rows)
    }
}

/// Makes a struct of columns: `Column` fields, each with its documentation.
macro_rules! columns {
    ($(#[$meta:meta])* pub struct $row:ident { $($(#[doc = $doc:literal])+ pub $name:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $row {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl $row {
            /// The name and meaning of every column, in order.
            pub const COLUMNS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),+))),+];

            pub(crate) fn schema() -> std::result::Result<parquet::schema::types::TypePtr, parquet::errors::ParquetError> {
                let columns = vec![$($crate::column::schema::<$type>(stringify!($name))?),+];
                let group = parquet::schema::types::Type::group_type_builder("row").with_fields(columns).build()?;
                Ok(group.into())
            }

            pub(crate) fn write_group<W: std::io::Write + Send>(
                rows: &[Self],
                group: &mut parquet::file::writer::SerializedRowGroupWriter<'_, W>,
            ) -> std::result::Result<(), parquet::errors::ParquetError> {
                $(if let Some(mut column) = group.next_column()? {
                    $crate::column::write(&mut column, rows, |row: &Self| &row.$name)?;
                    column.close()?;
                })+
                Ok(())
            }

            pub(crate) fn sources(
                group: &dyn parquet::file::reader::RowGroupReader,
            ) -> afferent_media::Result<Vec<$crate::column::Source<Self>>> {
                let mut sources = Vec::with_capacity(Self::COLUMNS.len());
                $(sources.extend($crate::column::Source::open(stringify!($name), group, |row: &mut Self| &mut row.$name)?);)+
                Ok(sources)
            }
        }
    };
}
pub(crate) use columns;
