;; Computes for ever without a call, a memory access or a line of output.
(module
  (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))
