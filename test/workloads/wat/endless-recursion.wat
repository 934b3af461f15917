;; Exhausts the call stack without touching the linear memory's. An optimizing compiler must not find a loop in it: it
;; ends, if after 2^60 calls, and what is done with a result depends on the order of the calls.
(module
  (memory (export "memory") 1)
  (data (i32.const 7) "\10")
  (func $deeper (param $left i64) (result i64)
    (if (result i64) (i64.eqz (local.get $left))
      (then (i64.const 0))
      (else (i64.xor
        (i64.mul (call $deeper (i64.sub (local.get $left) (i64.const 1))) (i64.const 31))
        (local.get $left)))))
  (func (export "_start") (i64.store (i32.const 8) (call $deeper (i64.load (i32.const 0))))))
