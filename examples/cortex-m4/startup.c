/* Starts a program on a Cortex-M4 with a floating-point unit; newlib's _start then calls main. */
#include <stdint.h>

#define CPACR (*(volatile uint32_t *)0xE000ED88u)

extern uint32_t stack_top[]; /* of link.ld */
extern void _start(void);

static void reset(void) {
    CPACR |= 0xFu << 20; /* the unit is off after a reset */
    __asm volatile("dsb\n isb");
    _start();
}

static void fault(void) {
    for (;;) {
    }
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)stack_top, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
};
