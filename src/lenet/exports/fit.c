/* The fit: any image to the network's size, pixel for pixel as lenet does it, in whole numbers. One axis is resized
   first and rounded to 8 bits, then the other; each output is a sum of pixels times weights in units of 1 / 2^22. */

#define LENET_HALF ((int32_t)1 << 21)

/* For each output along one axis: the first input, the number of inputs, and where their weights begin. */
struct lenet_axis {
    int32_t first[LENET_SIDE], count[LENET_SIDE], begin[LENET_SIDE];
    int32_t weights[2 * LENET_MAX_SIDE + 3 * LENET_SIDE];
};

static struct lenet_axis lenet_rows, lenet_columns;

/* `extent` inputs that start at input start / 2 become `inner` outputs. Distances are in units of half an input
   divided by `inner`. */
static void lenet_set_axis(struct lenet_axis *axis, int side, int extent, int start, int inner) {
    const int64_t reach = 2 * (int64_t)(extent > inner ? extent : inner);
    int32_t used = 0;
    for (int y = 0; y < inner; ++y) {
        const int64_t centre = (int64_t)start * inner + (int64_t)(2 * y + 1) * extent;
        const int64_t low = centre - reach + inner, high = (centre + reach + inner) / (2 * (int64_t)inner);
        const int32_t first = low > 0 ? (int32_t)(low / (2 * (int64_t)inner)) : 0;
        const int32_t end = high < side ? (int32_t)high : (int32_t)side;
        int64_t total = 0;
        for (int pass = 0; pass < 2; ++pass) {
            for (int32_t i = first; i < end; ++i) {
                const int64_t away = (2 * (int64_t)i + 1) * inner - centre;
                const int64_t weight = reach - (away < 0 ? -away : away);
                if (pass == 0)
                    total += weight;
                else
                    axis->weights[used + i - first] = (int32_t)((weight * 8388608 + total) / (2 * total));
            }
        }
        axis->first[y] = first;
        axis->count[y] = end - first;
        axis->begin[y] = used;
        used += end - first;
    }
}

static int32_t lenet_rounded(int32_t sum) {
    const int32_t value = sum >> 22; /* sum is not negative */
    return value < 255 ? value : 255;
}

/* Columns, then rows, one output row at a time. */
static void lenet_across_first(const uint8_t *pixels, size_t width, int height_out, int width_out, uint8_t *out) {
    int32_t sums[LENET_SIDE * LENET_CHANNELS];
    for (int y = 0; y < height_out; ++y) {
        for (int i = 0; i < width_out * LENET_CHANNELS; ++i)
            sums[i] = LENET_HALF;
        for (int32_t r = 0; r < lenet_rows.count[y]; ++r) {
            const uint8_t *row = pixels + (size_t)(lenet_rows.first[y] + r) * width * LENET_CHANNELS;
            const int32_t down = lenet_rows.weights[lenet_rows.begin[y] + r];
            for (int x = 0; x < width_out; ++x) {
                const uint8_t *pixel = row + (size_t)lenet_columns.first[x] * LENET_CHANNELS;
                const int32_t *weights = lenet_columns.weights + lenet_columns.begin[x];
                for (int c = 0; c < LENET_CHANNELS; ++c) {
                    int32_t sum = LENET_HALF;
                    for (int32_t i = 0; i < lenet_columns.count[x]; ++i)
                        sum += weights[i] * pixel[i * LENET_CHANNELS + c];
                    sums[x * LENET_CHANNELS + c] += down * lenet_rounded(sum);
                }
            }
        }
        for (int i = 0; i < width_out * LENET_CHANNELS; ++i)
            out[y * LENET_SIDE * LENET_CHANNELS + i] = (uint8_t)lenet_rounded(sums[i]);
    }
}

#if LENET_TALL_FIRST
/* Rows, then columns, one output pixel at a time: for images that are much taller than wide. */
static void lenet_down_first(const uint8_t *pixels, size_t width, int height_out, int width_out, uint8_t *out) {
    for (int y = 0; y < height_out; ++y) {
        const uint8_t *top = pixels + (size_t)lenet_rows.first[y] * width * LENET_CHANNELS;
        const int32_t *downs = lenet_rows.weights + lenet_rows.begin[y];
        for (int x = 0; x < width_out; ++x) {
            for (int c = 0; c < LENET_CHANNELS; ++c) {
                int32_t sum = LENET_HALF;
                for (int32_t i = 0; i < lenet_columns.count[x]; ++i) {
                    const uint8_t *pixel = top + (size_t)(lenet_columns.first[x] + i) * LENET_CHANNELS + c;
                    int32_t column = LENET_HALF;
                    for (int32_t r = 0; r < lenet_rows.count[y]; ++r)
                        column += downs[r] * pixel[(size_t)r * width * LENET_CHANNELS];
                    sum += lenet_columns.weights[lenet_columns.begin[x] + i] * lenet_rounded(column);
                }
                out[(y * LENET_SIDE + x) * LENET_CHANNELS + c] = (uint8_t)lenet_rounded(sum);
            }
        }
    }
}
#endif

#if LENET_FIT == LENET_PAD
/* side * LENET_SIDE / longest, rounded, a half to the even number; at least 1. */
static int lenet_padded(int side, int longest) {
    const int twice = 2 * side * LENET_SIDE, up = (twice + longest) / (2 * longest);
    const int rounded = twice % (2 * longest) == longest ? up - up % 2 : up;
    return rounded > 1 ? rounded : 1;
}
#endif

static void lenet_fit(const uint8_t *pixels, int height, int width, uint8_t *fitted) {
    int height_out = LENET_SIDE, width_out = LENET_SIDE;
    uint8_t *out = fitted;
#if LENET_FIT == LENET_CROP
    const int side = height < width ? height : width;
    lenet_set_axis(&lenet_rows, height, side, height - side, LENET_SIDE);
    lenet_set_axis(&lenet_columns, width, side, width - side, LENET_SIDE);
#else
#if LENET_FIT == LENET_PAD
    const int longest = height > width ? height : width;
    height_out = lenet_padded(height, longest);
    width_out = lenet_padded(width, longest);
    for (int i = 0; i < LENET_SIDE * LENET_SIDE * LENET_CHANNELS; ++i)
        fitted[i] = 0;
    out += ((LENET_SIDE - height_out) / 2 * LENET_SIDE + (LENET_SIDE - width_out) / 2) * LENET_CHANNELS;
#endif
    lenet_set_axis(&lenet_rows, height, height, 0, height_out);
    lenet_set_axis(&lenet_columns, width, width, 0, width_out);
#endif
#if LENET_TALL_FIRST
    const int narrower = width > width_out ? width - width_out : 0;
    if (height - height_out > 2 * narrower) {
        lenet_down_first(pixels, (size_t)width, height_out, width_out, out);
        return;
    }
#endif
    lenet_across_first(pixels, (size_t)width, height_out, width_out, out);
}

int lenet_classify(const uint8_t *pixels, int height, int width, float *probabilities) {
    static uint8_t fitted[LENET_SIDE * LENET_SIDE * LENET_CHANNELS];
    if (!pixels || !probabilities)
        return LENET_NULL;
    if (height < 1 || width < 1 || height > LENET_MAX_SIDE || width > LENET_MAX_SIDE)
        return LENET_BAD_SIZE;
    lenet_fit(pixels, height, width, fitted);
    return lenet_classify_fitted(fitted, probabilities);
}
