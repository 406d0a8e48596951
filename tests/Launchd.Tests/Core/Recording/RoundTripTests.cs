using System.Reflection;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Model;
using Launchd.Tests.Simulation;
using Xunit;

namespace Launchd.Tests.Core.Recording;

/// <summary>Everything that is written is read again: a property that no line of a layout names would be lost at a restart.</summary>
public sealed class RoundTripTests
{
    private const int ServiceCount = 1000;

    private static readonly (string Name, object Codec)[] Codecs =
    [
        .. typeof(StateRecorder).Assembly.GetTypes().Where(t => t.Namespace == typeof(StateRecorder).Namespace)
            .SelectMany(t => t.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(f => ValueOf(f.FieldType) is not null)
            .Select(f => ($"{f.DeclaringType!.Name}.{f.Name}", f.GetValue(null)!)),
    ];

    public static TheoryData<string> Names => [.. Codecs.Select(c => c.Name)];

    [Fact]
    public void ThereAreCodecs() => Assert.True(Codecs.Length > 60);

    [Theory]
    [MemberData(nameof(Names))]
    public void WhatIsWrittenIsReadAgain(string name)
    {
        object codec = Codecs.First(c => c.Name == name).Codec;
        MethodInfo roundTrip = typeof(RoundTripTests).GetMethod(nameof(RoundTrip), BindingFlags.Static | BindingFlags.NonPublic)!
            .MakeGenericMethod(ValueOf(codec.GetType())!);
        for (ulong seed = 1; seed <= 40; seed++)
            roundTrip.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [codec, seed], null);
    }

    /// <summary>Were a property left out of all layouts, the filled values would not come back: that is what the others rely on.</summary>
    [Fact]
    public void APropertyThatIsNotWrittenIsFound()
    {
        Layout<Forgetful> forgetful = new Layout<Forgetful>("a forgetful one", new(0, ""))
            .With(1, Values.Int, h => h.Number, (h, v) => h with { Number = v });

        Assert.ThrowsAny<Exception>(() => RoundTrip(forgetful, 1));
    }

    private static void RoundTrip<T>(Codec<T> codec, ulong seed)
    {
        Filler filler = new(new SeededRandom(seed));
        foreach (object made in filler.MakeAll(typeof(T)))
        {
            T value = (T)made;
            Dictionary<ServiceDefinition, long> numbers = new(ReferenceEqualityComparer.Instance);
            RecordWriter writer = new(d => numbers.TryAdd(d, numbers.Count) ? numbers.Count - 1 : numbers[d]);
            byte[] content = writer.Make(codec, value).ToArray();
            RecordReader reader = new(ServiceCount);
            foreach ((ServiceDefinition definition, long number) in numbers)
                reader.Definitions.Add(number, definition);
            foreach (PendingRequest request in filler.Requests)
                reader.Requests.TryAdd(request.Id.Number, request);

            T read = reader.Read(default, content, codec);

            Assert.Null(new DeepComparer().Difference(InOneKind(value), InOneKind(read), typeof(T).Name));
        }
    }

    // What is only said to be a list may be one of any kind.
    private static object? InOneKind(object? value) => value is IReadOnlyList<Effect> effects ? effects.ToArray() : value;

    private static Type? ValueOf(Type type)
    {
        for (Type? at = type; at is not null; at = at.BaseType)
        {
            if (at.IsGenericType && at.GetGenericTypeDefinition() == typeof(Codec<>))
                return at.GetGenericArguments()[0];
        }
        return null;
    }

    internal sealed record Forgetful(int Number, string Source);
}
