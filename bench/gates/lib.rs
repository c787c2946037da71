//! Nothing: this package has only benches, over what `corelane_bench::gates` defines.
