//! Benchmarks of what needs no Redis: order keys and cursors.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ranq::leaderboard::bench::{Position, decode_cursor, decode_order_key, encode_cursor, encode_subscores};
use ranq::leaderboard::{Order, Settings, Subscore};
use ranq::types::{Score, WindowName};

/// What a cursor is bound to: about as long as a real one.
const CONTEXT: &str = "weekly-race/0039c673e364/all_time/open";
/// A time as eight bytes of an order key; which one does not matter.
const STAMP: [u8; 8] = [0x80, 0x83, 0x98, 0xb7, 0x9c, 0xd5, 0xaa, 0x81];

fn order_key(criterion: &mut Criterion) {
    let plain = Settings::default();
    let with_subscores = Settings {
        subscores: vec![column("time_ms", Order::Ascending), column("combo", Order::Descending)],
        ..Settings::default()
    };
    let values = [score(91_234.0), score(-17.5)];
    let mut long_key = encode_subscores(&values, &with_subscores);
    long_key.extend(STAMP);

    let mut group = criterion.benchmark_group("order key");
    group.bench_function("encode two subscores", |bench| {
        bench.iter(|| encode_subscores(black_box(&values), &with_subscores));
    });
    group.bench_function("decode two subscores and a time", |bench| {
        bench.iter(|| decode_order_key(black_box(&long_key), &with_subscores));
    });
    group.bench_function("decode a time", |bench| {
        bench.iter(|| decode_order_key(black_box(&STAMP), &plain));
    });
    group.finish();
}

fn cursor(criterion: &mut Criterion) {
    let mut element = STAMP.to_vec();
    element.extend_from_slice(b"9f3c51d2a07be486");
    let position = Position { ranked: score(123_456.0), element };
    let text = encode_cursor(CONTEXT, &position);
    assert!(decode_cursor(CONTEXT, &text).is_ok_and(|decoded| decoded == position));

    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("encode", |bench| bench.iter(|| encode_cursor(CONTEXT, black_box(&position))));
    group.bench_function("decode", |bench| bench.iter(|| decode_cursor(CONTEXT, black_box(&text))));
    group.finish();
}

fn column(name: &str, order: Order) -> Subscore {
    Subscore { name: WindowName::try_from(name.to_owned()).expect("the name keeps to the pattern"), order }
}

fn score(value: f64) -> Score {
    Score::new(value).expect("the number is finite")
}

criterion_group!(benches, order_key, cursor);
criterion_main!(benches);
