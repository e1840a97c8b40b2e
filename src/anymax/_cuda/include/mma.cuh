// mma.cuh -- tensor cores and asynchronous copies as functions (inline PTX of sm_80 and later; the tests emulate them).
//
// Fragments of mma.m16n8k16, with g = lane / 4 and t = lane % 4:
//   A (16 x 16)  a[0] row g, a[1] row g + 8, both columns 2t, 2t + 1;  a[2], a[3] the same rows, columns 2t + 8, 2t + 9
//   B (16 x 8)   b[0] rows 2t, 2t + 1, b[1] rows 2t + 8, 2t + 9, both column g
//   C (16 x 8)   c[0], c[1] row g, c[2], c[3] row g + 8, columns 2t, 2t + 1
// so two neighbouring C tiles, rounded in pairs, are an A tile without any exchange between lanes.
#include "device.cuh"

#if AMX_ON_GPU
AMX_DEVICE u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }

AMX_DEVICE void mma_16816(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, f16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
AMX_DEVICE void mma_16816(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bf16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices of 16-bit numbers; lane 8 m + r passes the address of row r of matrix m.
AMX_DEVICE void ldmatrix(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
AMX_DEVICE void ldmatrix_transposed(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// Start to copy `bytes` (0 to 16) of global memory to 16 bytes of shared memory, the rest of which becomes zero.
AMX_DEVICE void copy_async_16(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
AMX_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until at most N of this thread's latest groups are still under way.
template <int N>
AMX_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// The same number, about which the compiler knows nothing. What follows from it inside a loop is computed there, where
// it would else be hoisted and take registers that large tiles need.
AMX_DEVICE int recomputed(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// Good to 2^-22: enough for weights that are rounded to 16 bits.
AMX_DEVICE float exp2_quick(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
AMX_DEVICE void mma_16816(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, f16) {
  const u32 b[2] = {b0, b1};
  cuda_shim::mma_16x8x16<cuda_shim::HalfBits>(c, a, b);
}
AMX_DEVICE void mma_16816(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bf16) {
  const u32 b[2] = {b0, b1};
  cuda_shim::mma_16x8x16<cuda_shim::Bfloat16Bits>(c, a, b);
}
AMX_DEVICE void ldmatrix(u32 (&r)[4], const void* row) { cuda_shim::ldmatrix_x4(r, row, false); }
AMX_DEVICE void ldmatrix_transposed(u32 (&r)[4], const void* row) { cuda_shim::ldmatrix_x4(r, row, true); }
AMX_DEVICE void copy_async_16(void* to, const void* from, int bytes) { cuda_shim::async_copy(to, from, 16, bytes); }
AMX_DEVICE void copy_async_commit() { cuda_shim::async_commit(); }
template <int N>
AMX_DEVICE void copy_async_wait() {
  cuda_shim::async_wait(N);
}
AMX_DEVICE int recomputed(int x) { return x; }
AMX_DEVICE float exp2_quick(float x) { return exp2f(x); }
#endif
