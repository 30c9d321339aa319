#include <float.h>
#if defined __FAST_MATH__ || defined __ASSOCIATIVE_MATH__ || defined __RECIPROCAL_MATH__ || defined _M_FP_FAST
#error "compile without -ffast-math or /fp:fast: results would differ"
#endif
#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "float arithmetic must not be wider than float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

/* A sum as a byte: divided, rounded, halves to even, plus the byte that stands for zero, clipped to low..255.
   Adding 1.5 * 2^23 rounds: float32 has no fractions there. No compiler fuses the division with another operation: every
   compiler gives the same bytes. */
static inline uint8_t lenet_byte(int32_t sum, float divisor, int32_t low, int32_t zero) {
    const float quotient = (float)sum / divisor;
    const float least = quotient > -65536.0f ? quotient : -65536.0f;
    const float rounded = (least < 65536.0f ? least : 65536.0f) + 12582912.0f;
    const int32_t byte = (int32_t)rounded - 12582912 + zero;
    const int32_t above = byte > low ? byte : low;
    return (uint8_t)(above < 255 ? above : 255);
}

/* Where the processor multiplies four bytes by four weights at once (VNNI), vectors hold the sums of eight outputs. */
#if defined __AVX512VNNI__ && defined __AVX512VL__
#define LENET_VNNI _mm256_dpbusd_epi32
#elif defined __AVXVNNI__
#define LENET_VNNI _mm256_dpbusd_avx_epi32
#endif
#ifdef LENET_VNNI
typedef uint8_t lenet_input;
#include <immintrin.h>
#include <string.h>

static inline __m256i lenet_load(const void *eight) { return _mm256_loadu_si256(eight); }

/* The sums of eight outputs, plus four bytes times the four weights of each. */
static inline __m256i lenet_dot(__m256i sums, const uint8_t *bytes, __m256i weights) {
    int32_t four;
    memcpy(&four, bytes, 4);
    return LENET_VNNI(sums, _mm256_set1_epi32(four), weights);
}

/* Weights [outputs][size] as [outputs / 8][size / 4][8][4]. */
static inline void lenet_pack(const int8_t *weight, int outputs, int size, int8_t *packed) {
    for (int out = 0; out < outputs; ++out)
        for (int i = 0; i < size; ++i)
            packed[(out / 8 * size + i / 4 * 4) * 8 + out % 8 * 4 + i % 4] = weight[out * size + i];
}

/* What lenet_byte gives for eight sums, of which the first `count` are stored. */
static inline void lenet_bytes(__m256i sums, const float *divisor, int low, int zero, uint8_t *y, int count) {
    const __m256 quotients = _mm256_div_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(divisor));
    const __m256 bounded =
        _mm256_min_ps(_mm256_max_ps(quotients, _mm256_set1_ps(-65536.0f)), _mm256_set1_ps(65536.0f));
    const __m256i integers = _mm256_add_epi32(_mm256_cvtps_epi32(bounded), _mm256_set1_epi32(zero));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
    const __m128i bytes = _mm_max_epu8(_mm_packus_epi16(words, words), _mm_set1_epi8((char)low));
    memcpy(y, &bytes, (size_t)count);
}
#else
typedef int16_t lenet_input;
#endif

static inline int32_t lenet_sum(int32_t sum, const int16_t *inputs, const int8_t *weights, int size) {
    for (int i = 0; i < size; ++i)
        sum += inputs[i] * weights[i];
    return sum;
}

/* Not every network uses all of these functions, and compilers warn of those that are never mentioned. */
static inline void lenet_mention(void) {
    (void)lenet_byte, (void)lenet_sum;
#ifdef LENET_VNNI
    (void)lenet_pack, (void)lenet_bytes, (void)lenet_dot, (void)lenet_load;
#endif
}
