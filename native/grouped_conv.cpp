// Conv2d with several input channels per group: one convolution for each group, on copies of its channels. All phases of a
// pass are by images, so that a slice's copies are still in the cache when they are read.
#include <cstddef>
#include <cstring>
#include <vector>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"

namespace lenet {

template <class T>
class GroupedConv : public Layer<T> {
 public:
  GroupedConv(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        group_in_(spec.inputs / spec.groups),
        group_out_(spec.outputs / spec.groups),
        specs_(spec.groups, spec),
        ins_(spec.groups),
        outs_(spec.groups) {
    for (int g = 0; g < spec.groups; g++) {
      LenetLayer& own = specs_[g];
      own.inputs = group_in_;
      own.outputs = group_out_;
      own.weight = from(spec.weight, size_t(g) * group_out_ * group_in_ * spec.kernel * spec.kernel);
      own.bias = from(spec.bias, size_t(g) * group_out_);
      convs_.push_back(make_conv(context, own, trained));
      convs_[g]->in = &ins_[g];
      convs_[g]->out = &outs_[g];
    }
  }

  Needs needs() const override { return {Needs::kOnce, Needs::kOnce, true, true}; }

  void allocate(Arena& arena) override {
    for (size_t g = 0; g < convs_.size(); g++) {
      ins_[g].layout = in->layout;
      ins_[g].layout.channels = group_in_;
      ins_[g].needs_gradient = this->trained_ && in->needs_gradient;
      outs_[g].layout = out->layout;
      outs_[g].layout.channels = group_out_;
      outs_[g].needs_gradient = this->trained_;
      outs_[g].before_norm = out->before_norm;
      for (Blob<T>* blob : {&ins_[g], &outs_[g]})
        blob->allocate(arena, this->context_.most_images, this->context_.threads);
      convs_[g]->allocate(arena);
    }
  }
  void pack() override {
    for (auto& conv : convs_) conv->pack();
  }
  void unpack(int64_t steps) override {
    for (auto& conv : convs_) conv->unpack(steps);
  }

  void forward(Schedule& schedule) override {
    each_group(schedule, [this](int n, int g) { copy(in->maps(n).from(g * group_in_), ins_[g].maps(n), ins_[g].layout); });
    for (auto& conv : convs_) conv->forward(schedule);
    each_group(schedule,
               [this](int n, int g) { copy(outs_[g].maps(n), out->maps(n).from(g * group_out_), outs_[g].layout); });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    each_group(schedule, [this](int n, int g) {
      copy(out->gradient_maps(n).from(g * group_out_), outs_[g].gradient_maps(n), outs_[g].layout);
    });
    for (auto& conv : convs_) conv->backward(schedule);
    if (!in->needs_gradient) return;
    each_group(schedule, [this](int n, int g) {
      copy(ins_[g].gradient_maps(n), in->gradient_maps(n).from(g * group_in_), ins_[g].layout);
    });
  }

  void update(Schedule& schedule) override {
    for (auto& conv : convs_) conv->update(schedule);
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  static LenetParameter from(const LenetParameter& all, size_t first) {
    const auto at = [first](void* values) { return values ? static_cast<T*>(values) + first : nullptr; };
    return {at(all.value), at(all.first), at(all.second), all.steps};
  }

  // Adds a phase that calls work(image, group).
  template <class Work>
  void each_group(Schedule& schedule, Work work) const {
    schedule.images([this, work](const Step&, const Slice& slice, const Worker&) {
      for (int n = slice.images.begin; n < slice.images.end; n++)
        for (size_t g = 0; g < convs_.size(); g++) work(n, int(g));
    });
  }

  static void copy(const Maps<const T>& from, const Maps<T>& to, const Layout& size) {
    for (int y = 0; y < size.height; y++)
      for (int x = 0; x < size.width; x++)
        std::memcpy(to.at(0, y, x), from.at(0, y, x), size_t(size.channels) * sizeof(T));
  }

  const int group_in_, group_out_;  // channels of a group
  std::vector<LenetLayer> specs_;   // of the groups, as are the following
  std::vector<Blob<T>> ins_, outs_;
  std::vector<LayerPointer<T>> convs_;
};

LENET_DEFINE_LAYER(make_grouped_conv, GroupedConv)

}  // namespace lenet
