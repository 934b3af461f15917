// libc++: streams, containers, algorithms, regular expressions and clocks. Counts the words of a file, writes them into
// another by number and reads that again.
//
// usage: words INPUT OUTPUT
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

int main(int count, char **words) {
    if (count != 3) {
        std::cerr << "usage: words INPUT OUTPUT\n";
        return 2;
    }
    std::ifstream input(words[1]);
    if (!input) {
        std::cout << "cannot read " << words[1] << '\n';
        return 1;
    }
    std::stringstream text;
    text << input.rdbuf();
    std::map<std::string, int> numbers;
    const std::string all = text.str();
    const std::regex word("[a-z]+", std::regex::icase);
    for (std::sregex_iterator found(all.begin(), all.end(), word), end; found != end; ++found) ++numbers[found->str()];

    std::vector<std::pair<std::string, int>> sorted(numbers.begin(), numbers.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](auto &one, auto &other) { return one.second > other.second; });
    {
        std::ofstream output(words[2], std::ios::trunc);
        for (auto &[name, number] : sorted) output << std::setw(6) << number << ' ' << name << '\n';
        if (!output) {
            std::cout << "cannot write " << words[2] << '\n';
            return 1;
        }
    }
    std::fstream again(words[2], std::ios::in | std::ios::out | std::ios::ate);
    std::cout << "bytes " << again.tellp() << '\n';
    again.seekg(0);
    std::string line;
    for (int number = 0; number < 5 && std::getline(again, line); ++number) std::cout << line << '\n';
    again.clear();
    again.seekp(0, std::ios::end);
    again << "end" << std::endl;

    std::vector<double> values(1000);
    std::mt19937 random(42);
    std::generate(values.begin(), values.end(), [&] { return random() / 4294967296.0; });
    std::cout << std::fixed << std::setprecision(6) << std::accumulate(values.begin(), values.end(), 0.0) << '\n';
    auto shared = std::make_shared<std::string>("shared");
    std::weak_ptr<std::string> weak = shared;
    shared.reset();
    std::random_device device;
    auto start = std::chrono::steady_clock::now();
    std::cout << weak.expired() << ' ' << (device() != device()) << ' ' << (std::chrono::steady_clock::now() >= start)
              << '\n';
}
