/* Compiled with -DLENET_TEST: without arguments the program classifies the check images and compares probabilities;
   it exits with 0 if all are within LENET_TOLERANCE, else with 1. With the arguments FILE HEIGHT WIDTH it reads raw images
   from FILE, one after the other, each HEIGHT x WIDTH pixels of LENET_CHANNELS bytes, rows first, and prints the
   probabilities of each on a line, followed by the logits if the network has 8-bit integers. With the arguments FILE
   SECONDS it classifies images of the network's size from FILE for so long and prints how many in a second. It exits
   with 2 if that is not possible. */
#ifdef LENET_TEST
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int lenet_check(const char *name, int found, const float *probabilities, const float *wanted) {
    int best = 0;
    float worst = 0.0f;
    for (int k = 0; k < LENET_CLASSES; ++k) {
        const float difference = fabsf(probabilities[k] - wanted[k]);
        if (!(difference <= worst)) /* also if it is no number */
            worst = difference;
        if (wanted[k] > wanted[best])
            best = k;
    }
    const int same = found >= 0 && found < LENET_CLASSES && wanted[best] - wanted[found] <= LENET_TOLERANCE;
    const int right = same && worst <= LENET_TOLERANCE;
    printf("%s: %s, largest difference %.2g\n", name, right ? "equal" : "DIFFERENT", (double)worst);
    return right ? 0 : 1;
}

static int lenet_checks(void) {
    const int bytes = LENET_SIDE * LENET_SIDE * LENET_CHANNELS, all = LENET_CHECKS * LENET_SIDE;
    float probabilities[LENET_CLASSES];
    int failed = 0, found;
    for (int i = 0; i < LENET_CHECKS; ++i) {
        found = lenet_classify_fitted(lenet_check_pixels + i * bytes, probabilities);
        failed |= lenet_check("image of the network's size", found, probabilities, lenet_check_wanted[i]);
        if (LENET_SIDE > LENET_MAX_SIDE) continue;
        found = lenet_classify(lenet_check_pixels + i * bytes, LENET_SIDE, LENET_SIDE, probabilities);
        failed |= lenet_check("the same by lenet_classify", found, probabilities, lenet_check_wanted[i]);
    }
    if (all <= LENET_MAX_SIDE) {
        found = lenet_classify(lenet_check_pixels, all, LENET_SIDE, probabilities);
        failed |= lenet_check("tall image", found, probabilities, lenet_check_wanted[LENET_CHECKS]);
        found = lenet_classify(lenet_check_pixels, LENET_SIDE, all, probabilities);
        failed |= lenet_check("wide image", found, probabilities, lenet_check_wanted[LENET_CHECKS + 1]);
    }
    return failed;
}

static int lenet_classify_file(const char *name, int height, int width) {
    float probabilities[LENET_CLASSES];
    const int fitted = height == LENET_SIDE && width == LENET_SIDE;
    if (height < 1 || width < 1 || height > LENET_MAX_SIDE || width > LENET_MAX_SIDE)
        return 2;
    const size_t bytes = (size_t)height * (size_t)width * LENET_CHANNELS;
    uint8_t *image = malloc(bytes);
    FILE *file = image ? fopen(name, "rb") : NULL;
    if (!file) {
        free(image);
        return 2;
    }
    while (fread(image, 1, bytes, file) == bytes) {
        const int found =
            fitted ? lenet_classify_fitted(image, probabilities) : lenet_classify(image, height, width, probabilities);
        if (found < 0)
            break;
        for (int k = 0; k < LENET_CLASSES; ++k)
            printf("%.9g ", (double)probabilities[k]);
#ifdef LENET_LOGITS
        for (int k = 0; k < LENET_CLASSES; ++k)
            printf("%.9g ", (double)LENET_LOGITS[k]);
#endif
        putchar('\n');
    }
    free(image);
    return fclose(file) ? 2 : 0;
}

static int lenet_speed(const char *name, double seconds) {
    static uint8_t images[64][LENET_SIDE * LENET_SIDE * LENET_CHANNELS];
    float probabilities[LENET_CLASSES];
    FILE *file = fopen(name, "rb");
    const size_t count = file ? fread(images, sizeof *images, 64, file) : 0;
    if (file && fclose(file))
        return 2;
    if (!count)
        return 2;
    const clock_t start = clock();
    double passed = 0.0, total = 0.0;
    while (passed < seconds) {
        for (size_t i = 0; i < count; ++i)
            if (lenet_classify_fitted(images[i], probabilities) < 0)
                return 2;
        total += (double)count;
        passed = (double)(clock() - start) / CLOCKS_PER_SEC;
    }
    printf("%.0f\n", total / passed);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 4)
        return lenet_classify_file(arguments[1], atoi(arguments[2]), atoi(arguments[3]));
    if (count == 3)
        return lenet_speed(arguments[1], atof(arguments[2]));
    if (count != 1)
        return 2;
    return lenet_checks();
}
#endif
